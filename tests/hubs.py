"""Hugging Face and Kaggle on loopback: as much of their protocols as clients speak."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import yaml

LARGE = (".h5", ".onnx")  # what Hugging Face keeps apart from Git


class Hub:
    """A server of both hubs, and what was uploaded to it.

    Attributes:
        url: Of Hugging Face.
        kaggle_url: Of Kaggle.
        repositories: Of Hugging Face: by name, the commits and their files.
        models: Of Kaggle: by handle, the versions and their files.
        asked: The requests, method and path.
        spoiled: Files whose content arrives changed.
    """

    def __init__(self):
        self.repositories, self.models, self.blobs = {}, {}, {}
        self.licenses, self.asked, self.spoiled = {}, [], set()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.kaggle_url = self.url
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, name, files):
        """A commit on Hugging Face, past the protocol."""
        self.repositories.setdefault(name, []).append(dict(files))
        return self.commit(name, len(self.repositories[name]))

    def commit(self, name, count):
        return hashlib.sha1(f"{name} {count}".encode()).hexdigest()

    def files(self, name, revision):
        """The files of a commit, of `main` or of the tag `v1`, and the commit."""
        commits = self.repositories[name]
        known = {self.commit(name, n): n for n in range(1, len(commits) + 1)}
        number = {"main": len(commits), "v1": 1, **known}[revision]
        return commits[number - 1], self.commit(name, number)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, content=b"", status=200, **headers):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
            headers["Content-Type"] = "application/json"
        self.send_response(status)
        length = headers.pop("length", len(content))
        for name, value in {**headers, "Content-Length": length}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def act(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        self.hub.asked.append((self.command, path))
        try:
            if path.startswith("/api/v1/"):
                self.kaggle(path.rpartition("/")[2], json.loads(body))
            elif path.startswith("/blobs/"):
                self.hub.blobs[path.removeprefix("/blobs/")] = body
                self.answer()
            else:
                self.hugging_face(path.strip("/").split("/"), body)
        except KeyError:
            error = {"X_Error_Code": "RepoNotFound", "X_Error_Message": "Not found"}
            self.answer({"code": 404, "message": "Not found"}, 404, **error)

    do_GET = do_HEAD = do_POST = do_PUT = act

    def hugging_face(self, path, body):
        hub = self.hub
        match path:
            case ["api", "repos", "create"]:
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}"
                assert self.headers["Authorization"] == "Bearer hf_of_the_test"
                hub.repositories.setdefault(name, [{}])
                self.answer({"url": f"{hub.url}/{name}"})
            case ["api", "validate-yaml"]:
                _, front, _ = json.loads(body)["content"].split("---\n", 2)
                known = yaml.safe_load(front)
                assert isinstance(known["tags"], list) and known["library_name"]
                self.answer({"errors": [], "warnings": []})
            case ["api", "models", user, name, "preupload", _]:
                assert f"{user}/{name}" in hub.repositories
                files = [
                    {
                        "path": file["path"],
                        "shouldIgnore": False,
                        "uploadMode": "lfs"
                        if file["path"].endswith(LARGE)
                        else "regular",
                    }
                    for file in json.loads(body)["files"]
                ]
                self.answer({"files": files})
            case [user, git, "info", "lfs", "objects", "batch"]:
                assert git.endswith(".git") and user
                objects = [
                    {
                        **wanted,
                        "actions": {
                            "upload": {"href": f"{hub.url}/blobs/{wanted['oid']}"}
                        },
                    }
                    for wanted in json.loads(body)["objects"]
                ]
                self.answer({"transfer": "basic", "objects": objects})
            case ["api", "models", user, name, "commit", _]:
                files = dict(hub.repositories[f"{user}/{name}"][-1])
                for line in map(json.loads, body.splitlines()):
                    value = line["value"]
                    if line["key"] == "file":
                        files[value["path"]] = base64.b64decode(value["content"])
                    elif line["key"] == "lfsFile":
                        content = hub.blobs[value["oid"]]
                        assert hashlib.sha256(content).hexdigest() == value["oid"]
                        files[value["path"]] = content
                oid = hub.put(f"{user}/{name}", files)
                url = f"{hub.url}/{user}/{name}/commit/{oid}"
                self.answer({"commitUrl": url, "commitOid": oid})
            case ["api", "models", user, name, "revision", revision]:
                _, commit = hub.files(f"{user}/{name}", revision)
                self.answer({"id": f"{user}/{name}", "sha": commit, "siblings": []})
            case ["api", "models", user, name, "tree", commit]:
                files, _ = hub.files(f"{user}/{name}", commit)
                tree = [
                    {
                        "type": "file",
                        "path": path,
                        "size": len(content),
                        "oid": hashlib.sha1(content).hexdigest(),
                    }
                    for path, content in files.items()
                ]
                self.answer(tree)
            case [user, name, "resolve", commit, path]:
                files, commit = hub.files(f"{user}/{name}", commit)
                content = files[path]
                etag = hashlib.sha1(content).hexdigest()
                if path in hub.spoiled:
                    content = content[:-1] + bytes([content[-1] ^ 1])
                self.answer(content, ETag=f'"{etag}"', X_Repo_Commit=commit)
            case _:
                raise KeyError(path)

    def kaggle(self, request, asked):
        hub = self.hub
        parts = [asked.get(k) for k in ("ownerSlug", "modelSlug", "instanceSlug")]
        match request:
            case "GetModel":
                known = {handle[:2] for handle in (*hub.models, *hub.licenses)}
                if (asked["ownerSlug"], asked["modelSlug"]) not in known:
                    raise KeyError
                self.answer({})
            case "CreateModel":
                assert self.headers["Authorization"] == "Bearer of_the_test"
                self.answer({})
            case "StartBlobUpload":
                token = f"{asked['name']}?{len(hub.blobs)}"
                url = f"{hub.url}/blobs/{asked['name']}"
                self.answer({"token": token, "createUrl": url})
            case "CreateModelInstance" | "CreateModelInstanceVersion":
                body = asked["body"]
                parts[2] = parts[2] or body["instanceSlug"]
                if request == "CreateModelInstance" and tuple(parts) in hub.models:
                    self.answer({"error": "There is one.", "errorCode": 409})
                    return
                names = [file["token"].partition("?")[0] for file in body["files"]]
                version = {name: hub.blobs[name] for name in names}
                hub.models.setdefault(tuple(parts), []).append(version)
                hub.licenses.setdefault(tuple(parts), body.get("licenseName"))
                self.answer({"error": ""})
            case "GetModelInstance":
                self.answer({"versionNumber": len(hub.models[tuple(parts)])})
            case "ListModelInstanceVersionFiles":
                files = hub.models[tuple(parts)][asked["versionNumber"] - 1]
                listed = [{"name": name} for name in files]
                self.answer({"files": listed, "nextPageToken": ""})
            case "DownloadModelInstanceVersion":
                files = hub.models[tuple(parts)][asked["versionNumber"] - 1]
                self.answer(files[asked["path"]])
            case _:
                raise KeyError(request)
