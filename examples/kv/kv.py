"""A small replicated store over HTTP, to be put under test: see docs/TUTORIAL.md.

GET /kv/KEY, PUT /kv/KEY {"value": n}, POST /cas/KEY {"old": a, "new": b}, GET /status.
The first node leads: it takes all writes and sends copies to the others.
"""
import argparse, http.client, http.server, json, os, threading

args = argparse.ArgumentParser()
args.add_argument("--listen", required=True)
args.add_argument("--nodes", required=True, help="host:port,… of all nodes, the leader first")
args.add_argument("--log", required=True, help="file in which the leader keeps every write")
args.add_argument("--reads", choices=["leader", "local"], default="leader")
args.add_argument("--forget", action="store_true", help="keep nothing on disk")
args = args.parse_args()
nodes = args.nodes.split(",")
leader, leads = nodes[0], nodes[0] == args.listen
data, lock = {}, threading.Lock()


def keep(key, value):
    """Sets a value; the leader's are on disk before anybody hears of them."""
    if leads and not args.forget:
        with open(args.log, "a") as f:
            f.write(json.dumps([key, value]) + "\n")
            f.flush()
            os.fsync(f.fileno())
    data[key] = value
    if leads:
        for node in nodes[1:]:
            threading.Thread(target=send, args=(node, "PUT", "/copy/" + key, {"value": value})).start()


def send(node, method, path, body):
    try:
        conn = http.client.HTTPConnection(node, timeout=2)
        conn.request(method, path, json.dumps(body))
        answer = conn.getresponse()
        return answer.status, json.loads(answer.read())
    except ConnectionRefusedError:
        return 503, {"error": "the leader is down"}  # nothing was sent
    except (OSError, http.client.HTTPException, ValueError):
        return 504, {"error": "no answer from the leader"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
        status, answer = self.answer(self.command, self.path, body)
        answer = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_POST = do

    def answer(self, method, path, body):
        kind, key = path.strip("/").split("/") if path != "/status" else ("status", "")
        if kind == "status":
            return 200, {"leader": leads}
        if kind == "copy":
            data[key] = body["value"]
            return 200, {}
        if not leads and not (kind == "kv" and method == "GET" and args.reads == "local"):
            return send(leader, method, path, body)
        with lock:
            if method == "GET":
                return (200, {"value": data[key]}) if key in data else (404, {})
            if kind == "cas":
                if data.get(key) != body["old"]:
                    return 409, {"error": "it holds something else"}
                keep(key, body["new"])
            else:
                keep(key, body["value"])
            return 200, {}

    def log_message(self, *_):
        pass


if leads and os.path.exists(args.log):
    with open(args.log) as f:
        data.update(json.loads(line) for line in f if line.endswith("\n"))
host, port = args.listen.rsplit(":", 1)
http.server.ThreadingHTTPServer.request_queue_size = 64
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
