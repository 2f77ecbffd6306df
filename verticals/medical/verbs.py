"""Verbs of the clinic on the command: objects from the network in, and objects without their person out."""

import json
import logging
import signal
import sys
from pathlib import Path

import click

from shared.errors import DataError

FILE = click.Path(path_type=Path)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there."
)


@click.command()
@click.argument("folder", type=FILE, metavar="DIR")
@click.option("--port", type=int, default=11112, show_default=True, help="TCP port; 0 for any that is free.")
@click.option("--ae-title", default="LOUPE", show_default=True, help="Our AE title; senders must call it.")
@click.option("--allow", multiple=True, metavar="AET", help="AE title that may send; repeatable. Needed with --host.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@json_option
def inbox(folder: Path, port: int, ae_title: str, allow: tuple[str, ...], host: str, as_json: bool) -> None:
    """Receive DICOM photographs over C-STORE into DIR until Ctrl-C or SIGTERM.

    An object is acknowledged when it is on disk. Then: loupe predict BUNDLE DIR/objects -o findings.jsonl
    """
    from threading import Event

    from verticals.medical.dicom.inbox import listening

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    with listening(folder, port, ae_title, allowed=allow or None, host=host) as number:
        if as_json:
            print(json.dumps({"host": host, "port": number, "ae_title": ae_title, "folder": str(folder)}), flush=True)
        print(f"inbox {ae_title}: {host}:{number}  (stop with Ctrl-C)", file=sys.stderr, flush=True)
        stop = Event()
        for ends in (signal.SIGINT, signal.SIGTERM):  # by hand, and by whatever runs it as a service
            signal.signal(ends, lambda *_: stop.set())
        stop.wait()
    print("stopped; what was acknowledged is on disk", file=sys.stderr)


@click.command()
@click.argument("source", type=FILE)
@click.option("-o", "out", type=FILE, required=True, help="Folder for the new files and their receipts.")
@click.option(
    "--key", "key_file", type=FILE, required=True, help="File of the secret behind pseudonyms; made on first use."
)
@click.option("--accept-text", is_flag=True, help="A person has looked: what looks like text in the pixels is none.")
@json_option
def deidentify(source: Path, out: Path, key_file: Path, accept_text: bool, as_json: bool) -> None:
    """Take the person out of DICOM images (PS3.15 annex E), with a receipt beside each.

    Files with text in their pixels are refused. Faces and tattoos are not recognised: look before a file leaves.
    """
    from verticals.medical.privacy.pseudonyms import load_key
    from verticals.medical.privacy.release import release, release_folder

    if not source.exists():
        raise DataError(f"{source}: does not exist; give a folder of DICOM images or one of them")
    if key_file.resolve().is_relative_to(out.resolve()):
        raise DataError(
            f"--key {key_file}: lies in the folder of the result, and with it pseudonyms can be linked; "
            "keep it elsewhere"
        )
    key = load_key(key_file)
    if source.is_dir():
        made, problems = release_folder(source, out, key, accept_text=accept_text)
    else:
        made, problems = (release(source, out, key, accept_text=accept_text),), ()
    if not made and not problems:
        raise DataError(f"{source}: holds no file; give a folder of DICOM images or one of them")
    remaining = sorted({note for each in made for note in each.receipt.remaining})
    left = [str(p) for p in problems]
    if as_json:
        print(json.dumps({"files": [str(each.path) for each in made], "remaining": remaining, "problems": left}))
        return
    print(f"{len(made)} files without their person in {out}, {len(left)} refused")
    print("\n".join([*(f"a person has to judge: {note}" for note in remaining), *(f"refused: {p}" for p in left)]))


VERBS = (inbox, deidentify)
