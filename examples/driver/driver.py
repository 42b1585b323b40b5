#!/usr/bin/env python3
"""A driver in Python for examples/kv, see docs/driver-protocol.md: a register with
compare-and-set, over one HTTP connection."""
import http.client
import json
import sys

conn = None


def call(method, path, timeout, body=None):
    """Returns status and answer. ConnectionRefusedError: nothing was sent."""
    global conn
    if conn is None or conn.sock is None:
        conn = http.client.HTTPConnection(endpoint, timeout=timeout)
        conn.connect()
    conn.sock.settimeout(timeout)
    conn.request(method, path, None if body is None else json.dumps(body))
    answer = conn.getresponse()
    return answer.status, json.loads(answer.read() or "null")


def perform(op):
    key, value, timeout = op["key"], op["value"], op["timeout_ms"] / 1000
    if op["f"] == "read":
        status, answer = call("GET", "/kv/" + key, timeout)
        if status in (200, 404):
            return {"type": "ok", "value": answer["value"] if status == 200 else None}
    elif op["f"] == "write":
        status, answer = call("PUT", "/kv/" + key, timeout, {"value": value})
        if status == 200:
            return {"type": "ok"}
    elif op["f"] == "cas":
        status, answer = call("POST", "/cas/" + key, timeout, {"old": value[0], "new": value[1]})
        if status == 200:
            return {"type": "ok"}
        if status == 409:
            return {"type": "fail", "error": "it holds something else"}
    else:
        return {"type": "fail", "error": "unknown operation"}
    # 503 is the store's word that it has not done it; of anything else nobody knows.
    return {"type": "fail" if status == 503 else "info", "error": "HTTP %d" % status}


for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "hello":
        endpoint = message["endpoint"]
        reply = {"type": "hello", "version": 1}
    else:
        try:
            reply = perform(message)
        except ConnectionRefusedError as e:
            conn, reply = None, {"type": "fail", "error": str(e)}
        except Exception as e:  # it may have been done
            conn, reply = None, {"type": "info", "error": repr(e)}
        reply["id"] = message["id"]
    print(json.dumps(reply), flush=True)
