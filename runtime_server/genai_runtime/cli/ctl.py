"""`genai-runtime ctl`: the control service over the pod's own Unix socket. Whoever may exec into the pod may use it.

The operator keeps the options of its resource; an option set here holds until the operator sets the next one.
"""

import json

import typer

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import inference_pb2
from genai_runtime.cli import ctl_options, ctl_profile, ctl_requests
from genai_runtime.cli.control_client import SECONDS, Output, OutputOption, control, plain

app = typer.Typer(help="Look at and drive the server of this pod.", no_args_is_help=True)
app.add_typer(ctl_profile.app, name="profile")
app.command("options")(ctl_options.options)
app.command("requests")(ctl_requests.requests)


@app.command()
def status(output: OutputOption = Output.TEXT) -> None:
    """What is served, in which state, with which options."""
    with control() as stub:
        model = stub.GetModel(inference_pb2.GetModelRequest(), timeout=SECONDS)
        options = stub.GetRuntimeOptions(pb.GetRuntimeOptionsRequest(), timeout=SECONDS)
    both = {"model": plain(model), "runtimeOptions": plain(options)}
    if output is Output.JSON:
        print(json.dumps(both))
        return
    for section in both.values():
        for name, value in section.items():
            print(f"{name:<32} {value if isinstance(value, (str, int, float)) else json.dumps(value)}")
