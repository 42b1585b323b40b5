newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
PATH=[[ if .bin ]][[ .bin ]]:[[ end ]]${newest:+$newest:}$PATH
export PATH
[[ .shell ]]
pg={{ quote .Data }}/pg
primary='host={{ (index .Nodes 0).Address }} port={{ (index .Nodes 0).Port }} user=ordeal'
primary="$primary dbname=postgres application_name={{ .Name }} connect_timeout=2"
