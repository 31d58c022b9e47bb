"""`make test-image`: runs the steps of deploy/Dockerfile one by one in a bare root file system, and then the service.

No container engine is needed: Debian's `debootstrap` makes the root, in which Debian's own Python stands in for that of
the base image. Each stage is a copy of its base; RUN is a `chroot` with the stage's variables, folder and user. At the
end the service is started as the image would start it, in a network namespace of its own without a network, with the
weights of the image: HEALTHCHECK has to succeed, a model has to answer, and an interrupt has to end it.

It needs root, Debian's packages debootstrap and iproute2, and some 12 GB for a while. `--bind` mounts a folder of this
machine (where an index or wheels are), `--env` hands on a variable: a proxy, the address of an index.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.dockerfile import Stage, argument, filled, read_stages, words

ROOT = Path(__file__).resolve().parents[1]
SUITE = "bookworm"
STAND_IN = ("ca-certificates", "python3", "python3-venv")
READY_S = 300
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(slots=True)
class Image:
    """What a stage has come to.

    Attributes:
        root: its root file system.
        environment: of ENV.
        folder: of WORKDIR.
        user: of USER; empty is root.
        settings: the text of the last ENTRYPOINT, CMD and HEALTHCHECK.
    """

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    folder: str = "/"
    user: str = ""
    settings: dict[str, str] = field(default_factory=dict)


class Builder:
    """Runs stages, each once, in folders below one folder."""

    def __init__(self, folder: Path, arguments: Mapping[str, str], binds: list[str], handed_on: list[str]) -> None:
        """Build below `folder` with the build arguments `arguments`.

        Args:
            folder: where the root file systems go.
            arguments: of the build.
            binds: folders of this machine that every step sees in the same place.
            handed_on: names of this process's variables that every step has.
        """
        self._folder = folder
        self._binds = binds
        self._handed_on = {name: os.environ[name] for name in handed_on if name in os.environ}
        self._arguments = arguments
        stages, self._given = read_stages((ROOT / "deploy/Dockerfile").read_text(encoding="utf-8"), arguments)
        self._stages = {stage.name: stage for stage in stages}
        self._images: dict[str, Image] = {}
        self._last = stages[-1].name

    def build(self) -> Image:
        """Run the last stage, and before it all that it needs."""
        return self._image(self._last)

    def _image(self, name: str) -> Image:
        if name not in self._images:
            stage = self._stages.get(name)
            self._images[name] = self._bare() if stage is None else self._run(stage)
        return self._images[name]

    def _bare(self) -> Image:
        root = self._folder / "bare"
        print(f"== {SUITE}, and its Python for that of the base image", flush=True)
        _do("debootstrap", "--variant=minbase", f"--include={','.join(STAND_IN)}", SUITE, str(root))
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        for file in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
            if Path("/", file).exists():
                shutil.copy(Path("/", file), root / file)
        return Image(root)

    def _run(self, stage: Stage) -> Image:
        base = self._image(stage.base)
        root = base.root
        if stage.instructions:
            root = self._folder / (stage.name or "last")
            _do("cp", "--archive", "--reflink=auto", str(base.root), str(root))
        image = Image(root, dict(base.environment), base.folder, base.user, dict(base.settings))
        local: dict[str, str] = {}
        for step in stage.instructions:
            text = filled(step.text, {**local, **image.environment}) if step.word != "RUN" else step.text
            print(f"== {stage.name}: {step.word} {text}", flush=True)
            match step.word:
                case "ARG":
                    name, value = argument(text)
                    local[name] = self._arguments.get(name, self._given.get(name, value))
                case "ENV":
                    image.environment |= dict(pair.split("=", 1) for pair in shlex.split(text))
                case "WORKDIR":
                    image.folder = text
                    (root / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
                case "USER":
                    image.user = text
                case "COPY":
                    self._copy(image, shlex.split(text))
                case "RUN":
                    self.execute(image, ["/bin/sh", "-c", text], {**local, **self._handed_on})
                case "ENTRYPOINT" | "CMD" | "HEALTHCHECK":
                    image.settings[step.word] = text
                case "EXPOSE":
                    pass
                case unknown:
                    raise ValueError(f"{unknown} is an instruction that is not run here")
        return image

    def _copy(self, image: Image, given: list[str]) -> None:
        options = dict(word.removeprefix("--").split("=", 1) for word in given if word.startswith("--"))
        *sources, target = [word for word in given if not word.startswith("--")]
        home = self._image(options["from"]).root if "from" in options else ROOT
        place = image.root / os.path.join(image.folder, target).lstrip("/")  # noqa: PTH118 - an absolute one replaces
        for source in sources:
            found = home / source.lstrip("/")
            into = place / found.name if target.endswith("/") else place
            into.parent.mkdir(parents=True, exist_ok=True)
            # A folder is copied by its content, as a Dockerfile's COPY does.
            _do("cp", "--archive", "--no-target-directory", str(found), str(into))
            if owner := options.get("chown"):
                _do("chown", "--recursive", owner, str(into))

    def execute(self, image: Image, command: list[str], extra: Mapping[str, str], *, offline: bool = False) -> None:
        """Run `command` in `image` as its user; `offline` in a network namespace with nothing but loopback."""
        inside = [
            "chroot",
            *([f"--userspec={image.user}"] if image.user else []),
            str(image.root),
            "/usr/bin/env",
            "-i",
        ]
        variables = {"HOME": "/home/neverblank" if image.user else "/root", **extra, **image.environment}
        inside += [f"{name}={value}" for name, value in variables.items()]
        inside += ["/bin/sh", "-c", f"cd {shlex.quote(image.folder)} && exec {shlex.join(command)}"]
        mounts = [f"mount -t proc proc {image.root}/proc", f"mount --rbind /dev {image.root}/dev"]
        mounts += [f"mkdir -p {image.root}{bind} && mount --bind {bind} {image.root}{bind}" for bind in self._binds]
        mounts += ["ip link set lo up"] if offline else []
        script = " && ".join([*mounts, f"exec {shlex.join(inside)}"])
        _do("unshare", "--mount", "--pid", "--fork", *(["--net"] if offline else []), "/bin/sh", "-c", script)


_TRY = """
{start} &
service=$!
for second in $(seq {ready_s}); do {health} && break; sleep 1; done
{health} || {{ echo "the HEALTHCHECK has never succeeded"; exit 1; }}
python - <<'EOF' || exit 1
import json, time, urllib.request
end = time.time() + {ready_s}
while True:
    asked = urllib.request.Request("http://127.0.0.1:8000/v1/infer", b'{{"text": "Hello"}}')
    answer = json.load(urllib.request.urlopen(asked, timeout=60))
    print(answer["served_by"], answer["model"], repr(answer["result"]), flush=True)
    if answer["served_by"] == "primary":
        break
    assert time.time() < end, "no model has answered"
    time.sleep(2)
EOF
kill -INT $service
wait $service
status=$?
{health} && {{ echo "it answers though it was interrupted"; exit 1; }}
exit $status
"""


def try_service(builder: Builder, image: Image) -> None:
    """Start the service as the image would, ask it, and end it; each has to succeed."""
    health = words(image.settings["HEALTHCHECK"].partition("CMD ")[2])
    start = shlex.join([*words(image.settings["ENTRYPOINT"]), *words(image.settings["CMD"])])
    script = _TRY.format(start=start, health=shlex.join(health), ready_s=READY_S)
    builder.execute(image, ["/bin/bash", "-c", script], {}, offline=True)


def _do(*command: str) -> None:
    subprocess.run(command, check=True)


def main() -> None:
    """Build, and try the service."""
    parser = argparse.ArgumentParser(description="Run the Dockerfile's steps in a bare root file system.")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--bind", action="append", default=[], metavar="FOLDER")
    parser.add_argument("--env", action="append", default=[], metavar="NAME")
    parser.add_argument("--folder", type=Path, help="Where the root file systems go, and stay.")
    parser.add_argument("--only-build", action="store_true")
    given = parser.parse_args()
    arguments = dict(pair.split("=", 1) for pair in given.build_arg)
    kept = given.folder or Path(tempfile.mkdtemp(prefix="neverblank-image-"))
    try:
        builder = Builder(kept, arguments, given.bind, given.env)
        image = builder.build()
        if not given.only_build:
            try_service(builder, image)
    except subprocess.CalledProcessError as error:
        sys.exit(f"a step failed with {error.returncode}")
    finally:
        if given.folder is None:
            shutil.rmtree(kept, ignore_errors=True)


if __name__ == "__main__":
    main()
