#!/usr/bin/env python3
"""A node for the workloads echo and unique-ids."""
import json
import sys

me, made = None, 0
for line in sys.stdin:
    message = json.loads(line)
    body = message["body"]
    kind = body["type"]
    reply = {"type": kind + "_ok", "in_reply_to": body["msg_id"]}
    if kind == "init":
        me = body["node_id"]
    elif kind == "echo":
        reply["echo"] = body["echo"]
    elif kind == "generate":
        # Unique as long as the process lives: a node that was killed would count from 1 again.
        made += 1
        reply["id"] = f"{me}-{made}"
    else:
        reply.update(type="error", code=10, text="no " + kind)
    print(json.dumps({"src": me, "dest": message["src"], "body": reply}), flush=True)
