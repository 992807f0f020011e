"""Completion scripts for bash, zsh and fish, made from the parser of the command line.

The scripts hold every command, option and choice, and start no Python: a press of Tab costs nothing. Other arguments
complete to files. An option that the parser gains is completed without a change here.
"""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HINTS = {
    "bash": 'eval "$(drift completion bash)"  in ~/.bashrc',
    "zsh": 'eval "$(drift completion zsh)"  in ~/.zshrc, after compinit',
    "fish": "drift completion fish > ~/.config/fish/completions/drift.fish",
}


class Option(NamedTuple):
    """An option of a command."""

    flags: tuple[str, ...]
    help: str
    takes_value: bool
    choices: tuple[str, ...]


class Command(NamedTuple):
    """A command: its options, and the choices of its first argument (none when it is a file)."""

    name: str
    help: str
    options: tuple[Option, ...]
    choices: tuple[str, ...]


def commands(parser: argparse.ArgumentParser) -> Iterator[Command]:
    """Yield the commands of a parser, in its order."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, command in action.choices.items():
                yield _command(name, summaries[name], command)


def _command(name: str, summary: str, parser: argparse.ArgumentParser) -> Command:
    options: list[Option] = []
    choices: tuple[str, ...] = ()
    for action in parser._actions:
        values = tuple(map(str, action.choices or ()))
        if action.option_strings:
            text = (action.help or "") % vars(action)
            options.append(Option(tuple(action.option_strings), text, action.nargs != 0, values))
        else:
            choices = choices or values
    return Command(name, summary, tuple(options), choices)


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """Return the completion script of a shell.

    Parameters
    ----------
    shell : {"bash", "zsh", "fish"}
        The shell that reads it.
    parser : ArgumentParser
        The parser of the command line, with sub-commands.
    """
    write: dict[str, Callable[[list[Command]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    return f"# {shell} completion of drift: {HINTS[shell]}\n" + write[shell](list(commands(parser)))


def _bash(found: list[Command]) -> str:
    values: list[str] = []
    flags: list[str] = []
    first: list[str] = []
    for command in found:
        names = " ".join(flag for option in command.options for flag in option.flags)
        flags.append(f'    {command.name}) words="{names}" ;;')
        first.extend([f'    {command.name}) words="{" ".join(command.choices)}" ;;'] if command.choices else [])
        values.extend(
            f'    "{command.name} {flag}") words="{" ".join(option.choices)}" ;;'
            for option in command.options
            if option.choices
            for flag in option.flags
        )
    return f"""\
_drift() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command=${{COMP_WORDS[1]}} words=
  if [[ $COMP_CWORD == 1 ]]; then
    words="{" ".join(command.name for command in found)} --help --version"
  elif [[ $current == -* ]]; then
    case $command in
{_lines(flags)}    esac
  else
    case "$command $previous" in
{_lines(values)}    esac
    [[ $COMP_CWORD == 2 ]] && case $command in
{_lines(first)}    esac
  fi
  COMPREPLY=()
  [[ -n $words ]] && COMPREPLY=($(compgen -W "$words" -- "$current"))
  return 0
}}
complete -o default -F _drift drift
"""


def _zsh(found: list[Command]) -> str:
    names = "".join(f"    {shlex.quote(f'{command.name}:{command.help}')}\n" for command in found)
    cases = []
    for command in found:
        arguments = [shlex.quote(_zsh_option(flag, option)) for option in command.options for flag in option.flags]
        rest = f"*:argument:({' '.join(command.choices)})" if command.choices else "*:argument:_files"
        lines = " \\\n        ".join([*arguments, shlex.quote(rest)])
        cases.append(f"    {command.name})\n      _arguments \\\n        {lines}\n      ;;")
    return f"""\
_drift() {{
  local -a commands
  commands=(
{names}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
{_lines(cases)}  esac
}}
compdef _drift drift
"""


def _zsh_option(flag: str, option: Option) -> str:
    text = option.help.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    value = f":value:({' '.join(option.choices)})" if option.choices else ":value:_files" if option.takes_value else ""
    return f"{flag}[{text}]{value}"


def _fish(found: list[Command]) -> str:
    lines = []
    for command in found:
        text = _fish_quoted(command.help)
        lines.append(f"complete -c drift -n __fish_use_subcommand -f -a {command.name} -d {text}")
    for command in found:
        start = f"complete -c drift -n '__fish_seen_subcommand_from {command.name}'"
        if command.choices:
            lines.append(f"{start} -f -a '{' '.join(command.choices)}'")
        for option in command.options:
            flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
            value = f" -x -a '{' '.join(option.choices)}'" if option.choices else " -r" if option.takes_value else ""
            lines.append(f"{start} {flags}{value} -d {_fish_quoted(option.help)}")
    return _lines(lines)


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
