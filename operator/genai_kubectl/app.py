"""`kubectl genai`: which commands there are. What they do is in `commands`; imports that take long are made in them."""

import typer

from genai_kubectl.commands import about, bench, chat, control, profile_trace, profile_window, top, tune, why
from genai_kubectl.options import grouped

_EPILOG = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 forbidden (names the role), 5 timed out."
app = typer.Typer(
    name="kubectl genai",
    help="Drive live GenAI models: profile, halt, cancel, watch, chat, and say why one does not serve.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
profiles = typer.Typer(help="Profiling windows on live pods, and their traces.", no_args_is_help=True)
app.add_typer(profiles, name="profile")

for group, name, command in (
    (profiles, "start", profile_window.start),
    (profiles, "stop", profile_window.stop),
    (profiles, "list", profile_window.list_profiles),
    (profiles, "fetch", profile_trace.fetch),
    (profiles, "open", profile_trace.open_report),
    (profiles, "top", profile_trace.top),
    (profiles, "diff", profile_trace.diff),
    (app, "why", why.why),
    (app, "top", top.top),
    (app, "chat", chat.chat),
    (app, "bench", bench.bench),
    (app, "halt", control.halt),
    (app, "resume", control.resume),
    (app, "drain", control.drain),
    (app, "cancel", control.cancel),
    (app, "logs-level", control.logs_level),
    (app, "tune", tune.tune),
    (app, "completion", about.completion),
    (app, "version", about.version),
):
    group.command(name)(grouped(command))
