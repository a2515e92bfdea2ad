"""`inputopt app` without a browser: what it refuses, and that it imports nothing heavy before it serves."""

import importlib.util
import socket
import subprocess
import sys

from inputopt.cli.main import main


def test_without_gradio_one_sentence_says_how_to_install_it(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "gradio" else find(name, *rest)
    )
    assert main(["app"]) == 2
    assert capsys.readouterr().err == (
        "inputopt: The playground needs Gradio; install it with: pip install 'inputopt[app]'\n"
    )


def test_a_port_in_use_and_an_unknown_host(capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        for words in (["--port", str(server.getsockname()[1])], ["--host", "203.0.113.1"]):
            assert main(["app", *words]) == 2
            printed = capsys.readouterr()
            assert printed.out == ""
            assert printed.err.startswith("inputopt: Cannot listen on ")
            assert printed.err.endswith("choose another port or host.\n")
            assert printed.err.count("\n") == 1


def test_the_command_s_module_imports_neither_gradio_nor_the_playground():
    code = (
        "import sys, inputopt.cli.commands.command_app; print({'gradio', 'inputopt.app.playground'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
