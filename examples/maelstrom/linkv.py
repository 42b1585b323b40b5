#!/usr/bin/env python3
"""A node for the workload lin-kv that asks Maelstrom's service lin-kv.

With LOCAL_READS=1 it answers reads from what it has itself seen written: that is wrong, and a
test finds it."""
import json
import os
import sys

local = os.environ.get("LOCAL_READS") == "1"
me, asked, waiting, seen = None, 0, {}, {}


def send(dest, body):
    print(json.dumps({"src": me, "dest": dest, "body": body}), flush=True)


for line in sys.stdin:
    message = json.loads(line)
    body = message["body"]
    if "in_reply_to" in body:  # the service answers: so does this node
        client, request = waiting.pop(body["in_reply_to"])
        if body["type"] == "write_ok":
            seen[request["key"]] = request["value"]
        elif body["type"] == "cas_ok":
            seen[request["key"]] = request["to"]
        body["in_reply_to"] = request["msg_id"]
        send(client, body)
    elif body["type"] == "init":
        me = body["node_id"]
        send(message["src"], {"type": "init_ok", "in_reply_to": body["msg_id"]})
    elif local and body["type"] == "read" and body["key"] in seen:
        send(message["src"], {"type": "read_ok", "value": seen[body["key"]],
                              "in_reply_to": body["msg_id"]})
    else:
        asked += 1
        waiting[asked] = (message["src"], dict(body))
        send("lin-kv", {**body, "msg_id": asked})
