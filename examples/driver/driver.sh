#!/bin/sh
# A driver for a POSIX shell with curl and jq, for examples/kv: see
# docs/driver-protocol.md. It knows read, write and cas of a register.

answer() { # type, rest of the object
  printf '{"type":"%s","id":%s%s}\n' "$1" "$id" "$2"
}

ask() { # curl's arguments; sets status and body; 000: curl had no answer
  out=$(curl -s -m "$timeout" -w '\n%{http_code}' "$@")
  failed=$?
  status=${out##*
}
  body=${out%
*}
}

while read -r line; do
  if [ "$(printf %s "$line" | jq -r .type)" = hello ]; then
    endpoint=$(printf %s "$line" | jq -r .endpoint)
    echo '{"type":"hello","version":1}'
    continue
  fi
  eval "$(printf %s "$line" | jq -r '@sh "id=\(.id) f=\(.f) key=\(.key) value=\(.value|tostring)",
    @sh "timeout=\(.timeout_ms / 2000)"' | tr '\n' ' ')"
  case $f in
  read) ask "http://$endpoint/kv/$key" ;;
  write) ask -X PUT -d "{\"value\":$value}" "http://$endpoint/kv/$key" ;;
  cas) ask -d "$(printf %s "$value" | jq -c '{old: .[0], new: .[1]}')" "http://$endpoint/cas/$key" ;;
  *)
    answer fail ',"error":"unknown operation"'
    continue
    ;;
  esac
  case "$failed $f $status" in
  "7 "*) answer fail ',"error":"connection refused"' ;; # nothing was sent
  "0 read 200") answer ok ",\"value\":$(printf %s "$body" | jq .value)" ;;
  "0 read 404") answer ok ',"value":null' ;;
  "0 write 200" | "0 cas 200") answer ok ;;
  "0 cas 409") answer fail ',"error":"it holds something else"' ;;
  "0 "*" 503") answer fail ',"error":"the leader is down"' ;; # the store's word for: not done
  *) answer info ",\"error\":\"curl $failed, HTTP $status\"" ;;
  esac
done
