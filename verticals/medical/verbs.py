"""Verbs of the clinic on the command: objects in from the network, out without their person; reports, validation."""

import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import click

from shared.errors import DataError
from shared.verb_options import FILE, json_option


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

    from verticals.medical.dicom import keep
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
    if aside := keep.quarantined(folder / keep.OBJECTS):
        print(
            f"{len(aside)} objects lie in {folder / keep.QUARANTINE}: another has their SOP Instance UID; compare both "
            "and remove one",
            file=sys.stderr,
        )


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

    Files with text in their pixels are refused, and so is another object under a SOP Instance UID that is taken; films
    leave as single frames. Faces are noted where the extra faces is installed, and neither they nor tattoos are surely
    recognised: look before a file leaves. What is refused is told by number, since files are called after patients;
    KEY.refused.csv, for you alone, says which number is which file. The others are made all the same, and the exit
    code is 2. Notes, tables, masks and a DICOMDIR are passed over.
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
    key, refusals = load_key(key_file), key_file.with_name(f"{key_file.name}.refused.csv")
    if source.is_dir():
        made, problems = release_folder(source, out, key, accept_text=accept_text, refusals=refusals)
    else:
        made, problems = (release(source, out, key, accept_text=accept_text),), ()
    if not made and not problems:
        raise DataError(f"{source}: holds no picture; give a folder of DICOM images or one of them")
    remaining = sorted({note for each in made for note in each.receipt.remaining})
    left, names = [str(p) for p in problems], str(refusals) if problems else ""
    files = list(dict.fromkeys(str(each.path) for each in made))
    facts = {"files": files, "known_already": sum(each.again for each in made), "remaining": remaining}
    if as_json:
        print(json.dumps({**facts, "problems": left, "refused_files": names}))
    else:
        print(f"{len(files)} files without their person in {out}")
        if facts["known_already"]:
            print(f"{facts['known_already']} had the very content of one that was there; each object counts once")
        print("".join(f"a person has to judge: {note}\n" for note in remaining), end="")
        print("".join(f"refused: {problem}\n" for problem in left), end="")
    if left:
        # Whoever deletes or sends on after this verb must not take the result for the whole.
        raise DataError(
            f"{len(left)} files were refused and are not in {out}; which they are stands in {names}, for you alone, "
            "since it names them"
        )


@click.command("structured-report")
@click.argument("findings", type=FILE)
@click.argument("source", type=FILE)
@click.option("--bundle", type=FILE, required=True, help="The bundle that made the findings.")
@click.option("-o", "out", type=FILE, required=True, help="New folder; the review page looks for reports beside it.")
@click.option("--policy", type=FILE, help="The site's file for the page, which says the prevalence of the clinic.")
@json_option
def structured_report(
    findings: Path, source: Path, bundle: Path, out: Path, policy: Path | None, as_json: bool
) -> None:
    """Write a DICOM structured report, and a capture of the map, for every decision in FINDINGS about SOURCE.

    Reports are PRELIMINARY and UNVERIFIED until a clinician signs them on the page. They name the patient, as their
    sources do: they are for the archive of the site.
    """
    from verticals.medical.reading import page_policy, reports
    from verticals.medical.triage import DISCLAIMER

    made, problems = reports.write(findings, source, out, bundle, page_policy.load(str(policy or "")))
    left = [str(p) for p in problems]
    captures = sum(bool(entry.capture) for entry in made.entries.values())
    if as_json:
        names = {frame: entry.report for frame, entry in made.entries.items()}
        facts = {"folder": str(out), "reports": names, "captures": captures, "problems": left}
        print(json.dumps({"disclaimer": DISCLAIMER, **facts}))
        return
    print(f"{len(made.entries)} reports PRELIMINARY and UNVERIFIED, {captures} captures in {out}. {DISCLAIMER}")
    print("".join(f"no report: {p}\n" for p in left), end="")


@click.command()
@click.argument("samples", type=FILE)
@click.option("--store", default="reviews.sqlite", show_default=True, help="File or SQLAlchemy URL of the review log.")
@json_option
def queue(samples: Path, store: str, as_json: bool) -> None:
    """Queue the pictures of an ingest for reading with no model, then: loupe review medical."""
    from shared.review.store import Store
    from verticals.medical.reading import unscored
    from verticals.medical.triage import DISCLAIMER

    waiting, opened = list(unscored.items(samples)), Store.open(store)
    try:
        added = opened.add_items(waiting)
    finally:
        opened.close()
    unread = sum(not item.image for item in waiting)
    facts = {"disclaimer": DISCLAIMER, "store": store, "new": added.new, "renewed": added.replaced, "kept": added.kept}
    facts["unread"] = unread
    without = f"; {unread} of them could not be read and have no picture" if unread else ""
    said = f"{added.new} new pictures in the queue, {added.kept} known already{without}. {DISCLAIMER}"
    print(json.dumps(facts) if as_json else said)


@click.command()
@click.argument("findings", type=FILE)
@click.argument("known", type=FILE)
@click.option("-o", "page", type=FILE, required=True, help="The HTML page.")
@click.option("--bundle", type=FILE, help="The bundle that made the findings; without it, what it knows stays open.")
@json_option
def validate(findings: Path, known: Path, page: Path, bundle: Path | None, as_json: bool) -> None:
    """Write the validation page: CLEAR Derm, CLAIM, TRIPOD+AI and 21 CFR 878.1820.

    KNOWN is a table with path,label and what else is known (lesion, patient, age, sex, site, skin tone, device, part),
    or the truth.jsonl of an ingest. What no software can say is marked and left to the authors.
    """
    import tempfile

    from shared import decisions
    from shared.inference import bundle as bundles
    from verticals.medical.evidence.metrics import measure
    from verticals.medical.evidence.readings import join
    from verticals.medical.evidence.validation import write_validation
    from verticals.medical.reading.known import by_frame

    lines = decisions.read(findings)
    card = bundles.load(bundle).card if bundle is not None else None
    if card is not None and {line.extra.get("bundle_hash") for line in lines} != {card["bundle_hash"]}:
        raise DataError(f"{findings}: holds answers of another bundle than {bundle}; give the one that made them")
    with tempfile.TemporaryDirectory(prefix="loupe-") as folder:
        readings, left_out = join(lines, by_frame(lines, known, Path(folder) / "known.csv"))
    measured = measure(readings)
    notes = sorted({str(note) for line in lines for note in line.extra.get("notes", ())})
    notes += filter(None, [decisions.used_in_build(lines)])
    write_validation(readings, measured, page, card=card, left_out=left_out, notes=notes)
    if as_json:
        print(json.dumps({"page": str(page), "notes": notes, "left_out": left_out, **measured}))
        return
    print("".join(f"!! {note}\n" for note in notes), end="")
    print(f"{page}: {len(readings)} pictures, {len(left_out)} left out. {measured['disclaimer']}")


@click.command()
@click.argument("bundle", type=FILE)
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--policy", type=FILE, help="The clinic's policy over the defaults.")
@json_option
def triage(bundle: Path, files: tuple[Path, ...], policy: Path | None, as_json: bool) -> None:
    """Say at once what BUNDLE says about FILES, photographs or DICOM; nothing is written.

    For a look beside the camera. What is to be reviewed or reported takes loupe predict, which also searches pictures
    whole for writing and gives them pseudonyms.
    """
    from shared.inference.runtime import Runtime
    from verticals.medical.at_once import look
    from verticals.medical.triage import DISCLAIMER

    runtime = Runtime.open(bundle)
    if runtime.bundle.vertical != "medical":
        raise DataError(f"{bundle}: was not built with --vertical medical; give a bundle that was")
    note = str(runtime.bundle.card["backbone"]["note"] or "")
    told: list[dict[str, Any]] = []
    for file in files:
        found = look(file, runtime, policy=policy)
        notes = [note, "SYNTHETIC image: drawn, not photographed" if found.synthetic else ""]
        decision = found.decision
        facts = {"verdict": decision.verdict.value, "reasons": decision.reasons, "notes": list(filter(None, notes))}
        told.append({"file": str(file), **facts, "urgency": decision.facts.get("urgency")})
    if as_json:
        print(json.dumps({"disclaimer": DISCLAIMER, "bundle_hash": runtime.bundle.hash, "answers": told}))
        return
    for one in told:
        print(f"{one['file']}: {one['verdict']}", *one["reasons"], *one["notes"], sep="\n  ")


VERBS = (inbox, deidentify, structured_report, queue, validate, triage)
