#!/usr/bin/env python3
"""A node for the workload broadcast: it tells its neighbors all that it has, again and again."""
import json
import sys
import threading
import time

EVERY = 0.1  # seconds between two rounds of gossip

lock = threading.Lock()
me, neighbors, messages = None, [], set()


def send(dest, body):
    print(json.dumps({"src": me, "dest": dest, "body": body}), flush=True)


def gossip():
    while True:
        time.sleep(EVERY)
        with lock:
            if messages:
                for n in neighbors:
                    send(n, {"type": "gossip", "messages": sorted(messages)})


threading.Thread(target=gossip, daemon=True).start()
for line in sys.stdin:
    message = json.loads(line)
    body = message["body"]
    kind = body["type"]
    with lock:
        if kind == "gossip":
            messages.update(body["messages"])
            continue
        reply = {"type": kind + "_ok", "in_reply_to": body["msg_id"]}
        if kind == "init":
            me = body["node_id"]
        elif kind == "topology":
            neighbors = body["topology"][me]
        elif kind == "broadcast":
            messages.add(body["message"])
        elif kind == "read":
            reply["messages"] = sorted(messages)
        send(message["src"], reply)
