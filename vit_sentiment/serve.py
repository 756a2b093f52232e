"""Serves a model over HTTP: predictions, heat maps and a page to try them.

  python -m vit_sentiment.serve --model=runs/demo/train
  python -m vit_sentiment.serve --model=model.npz --port=9000 --batch_size=64

POST photos to /v1/predict; /openapi.json describes the interface, /healthz and /metrics are for
whoever watches over it. Photos are neither kept nor logged. It listens on this machine alone unless
--host says otherwise, and has no passwords and no encryption: put a proxy before it for those.
SIGTERM and SIGINT answer what was accepted and end.
"""

from absl import flags

from checkpoints import weight_flags
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.progress import say

MODEL = flags.DEFINE_string(
    "model", None, "Name of a published model, workdir or weight file.", required=True
)
NAME = flags.DEFINE_string("name", None, "What clients are told (default: the end of --model).")
HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0 for all.")
PORT = flags.DEFINE_integer(
    "port", 8000, "Port to listen on; 0 takes a free one.", lower_bound=0, upper_bound=65535
)
ALLOWED_HOSTS = flags.DEFINE_list(
    "allowed_hosts",
    None,
    "Names under which this may be asked for, without port, besides those of this machine "
    "(default: any where --host is not of this machine alone).",
)
ROOT_PATH = flags.DEFINE_string(
    "root_path", "", "Prefix, such as /photos, that a proxy takes off the paths it asks here."
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Photos of the largest batch.", lower_bound=1)
MAX_WAIT_MS = flags.DEFINE_float(
    "max_wait_ms", 5.0, "How long the first photo of a batch waits for others.", lower_bound=0.0
)
QUEUE = flags.DEFINE_integer(
    "queue", 256, "Photos that may be accepted and unanswered; more get 503.", lower_bound=1
)
MAX_BYTES = flags.DEFINE_integer("max_bytes", 10 * 2**20, "Bytes of a photo's file.", lower_bound=1)
MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels", 50_000_000, "Pixels of a photo; decoding takes 3 bytes for each.", lower_bound=1
)
MAX_IMAGES = flags.DEFINE_integer("max_images", 32, "Photos of a request.", lower_bound=1)
READ_SECONDS = flags.DEFINE_float(
    "read_seconds", 30.0, "In which a request's body must have come.", lower_bound=0.0
)
DRAIN_SECONDS = flags.DEFINE_float(
    "drain_seconds", 30.0, "In which accepted requests are answered at the end.", lower_bound=0.0
)
BINARY = flags.DEFINE_bool("binary", False, "Negative or positive alone, unless a request says.")
THRESHOLD = flags.DEFINE_float(
    "threshold", 0.0, "Confidence below which there is no label, unless a request says."
)
EXPLAIN = flags.DEFINE_bool("explain", True, "Offer heat maps; they are compiled at the start.")
flags.adopt_module_key_flags(weight_flags)

GROUPS = {
    "Model": (MODEL, NAME, BINARY, THRESHOLD, EXPLAIN, *weight_flags.GROUP),
    "Address": (HOST, PORT, ALLOWED_HOSTS, ROOT_PATH),
    "Batches": (BATCH_SIZE, MAX_WAIT_MS, QUEUE),
    "Limits": (MAX_BYTES, MAX_PIXELS, MAX_IMAGES, READ_SECONDS, DRAIN_SECONDS),
}


def main() -> None:
    from vit_sentiment.serving.sockets import bind, listen

    bound = bind(HOST.value, PORT.value)  # Before the work, not after it.

    import pathlib

    from vit_sentiment.inference.model import load
    from vit_sentiment.runtime import accelerator, compilations
    from vit_sentiment.serving import running
    from vit_sentiment.serving.service import make_service

    settings = _settings()
    accelerator.prepare()
    with bound, compilations.counted() as compiled:
        model = load(MODEL.value, **weight_flags.hints())
        name = NAME.value or pathlib.Path(MODEL.value).absolute().name
        sizes = ", ".join(map(str, settings.sizes))
        say(f"compiling {name} for batches of {sizes}")
        service = make_service(model, name, settings, compiled)
        say(f"serving {name} at {listen(bound)}")
        running.run(service, bound, DRAIN_SECONDS.value)
    say("ended")


def _settings():
    from vit_sentiment.inference.decision import Rule
    from vit_sentiment.serving.settings import LOOPBACK, Settings

    allowed = tuple(host.lower() for host in ALLOWED_HOSTS.value or ())
    if allowed or _is_loopback(HOST.value):
        own = HOST.value.lower()
        allowed = (*LOOPBACK, f"[{own}]" if ":" in own else own, *allowed)
    return Settings(
        batch_size=BATCH_SIZE.value,
        max_wait=MAX_WAIT_MS.value / 1000,
        queue=QUEUE.value,
        max_bytes=MAX_BYTES.value,
        max_pixels=MAX_PIXELS.value,
        max_images=MAX_IMAGES.value,
        read_seconds=READ_SECONDS.value,
        rule=Rule(BINARY.value, THRESHOLD.value),
        allowed_hosts=allowed,
        explain=EXPLAIN.value,
        root_path=ROOT_PATH.value,
    )


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    startup.run(main, __doc__, groups=GROUPS)
