PATH=[[ if .bin ]][[ .bin ]]:[[ end ]]$PATH:/usr/sbin
export PATH
[[ .shell ]]
db={{ quote .Data }}/db
