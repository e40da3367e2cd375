"""The card of an exported data set: a datasheet for people, Croissant for machines."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from dhs import storage
from dhs.datasets.reader import Pairs

CROISSANT = "http://mlcommons.org/croissant/1.0"
MEDIA = {"h5": "application/x-hdf5", "tar": "application/x-tar", "parquet": "application/x-parquet"}
TYPES = {"string": "sc:Text", "float": "sc:Float", "double": "sc:Float"}
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "equivalentProperty": "cr:equivalentProperty",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "samplingRate": "cr:samplingRate",
}


def what_is_mock(pairs: Pairs) -> list[str]:
    """Sentences: what of a data set is not of the sky."""
    hosts, sources, kinds = pairs.manifest["hosts"], pairs.manifest["sources"], pairs.manifest["negatives"]
    said = ["Every arc is simulated: a lens model's, not one of the sky."]
    said += ["The host galaxies are MOCK: no number from them describes the sky."] if hosts["mock"] else []
    said += ["The source galaxies are MOCK."] if sources["mock"] else []
    mock = sorted(k for k in kinds if k.endswith("_mock"))
    said += [f"Hard negatives of the kinds {', '.join(mock)} are drawings of galaxies, not galaxies."] if mock else []
    return [*said, *sources.get("limits", ())]


def datasheet(pairs: Pairs, name: str, form: str, licence: str | None, counts: dict[str, Counter]) -> str:
    """``README.md``: front matter that Hugging Face reads, then a datasheet after Gebru et al. (2021)."""
    m = pairs.manifest
    front = ["---", f"license: {licence.lower()}" if licence else "license: unknown", f"pretty_name: {name}"]
    front += ["tags: [astronomy, strong-gravitational-lensing, legacy-surveys]"]
    if form == "hf":
        front += ["configs:", "- config_name: default", "  data_files:"]
        front += [f"  - split: {s}\n    path: data/{s}-*.parquet" for s in counts]
    rows = [f"| {split} | {kind} | {n} |" for split, kinds in counts.items() for kind, n in sorted(kinds.items())]
    said = [f"- {text}" for text in (*what_is_mock(pairs), *pairs.assumptions)]
    hosts = f"{m['hosts']['n']} hosts ({m['hosts']['kind']})"
    sources = f"{m['sources']['n']} source galaxies ({m['sources']['kind']})"
    lines = [*front, "---", "", f"# {name}", "", "Galaxy stamps with and without a lensed arc, in pairs.", ""]
    lines += ["## What is mock, and what was assumed", "", *said, "", "## Composition", ""]
    lines += ["| split | kind | stamps |", "| --- | --- | --- |", *rows, ""]
    lines += [
        "`image` and `light`: 3 x 64 x 64 float32; g, r, z; nanomaggies (AB zero-point 22.5); 0.262 arcsec a pixel.",
        "`image` is the control + `light` + the light's own shot noise; `light` has no noise and is 0 for a control.",
        "Stamps of one `pair_id` share their galaxy: keep them, and all of one `host_id`, in one fold.",
        "`label` is 1 for a lens. What belongs to an arc is empty where there is none.",
        "",
        "## Collection and processing",
        "",
        f"{hosts} and {sources}; lens and source draws: {m['draws']['accepted']} accepted.",
        "Split by the hosts' place on the sky and by source.",
        f"Content hash `{m['content_hash']}`, seed {m.get('seed')}.",
        "Arcs are rendered through elliptical power laws with shear, the hosts' PSFs and gain. Bad inputs were",
        f"refused with a reason: {m['hosts']['refused']} hosts, {m['sources']['refused']} sources.",
        "",
        "## Uses",
        "",
        "To train and audit finders of strong lenses in Legacy Surveys g, r, z. Not to estimate how many lenses there",
        "are, not for stamps of other surveys, and not to quote a recall on real lenses: real arcs differ.",
        "",
        "## Distribution and upkeep",
        "",
        f"Licence: {licence or 'not stated by who exported it; ask before you pass it on'}. Written by dark-halo-scope "
        f"{m.get('versions', {}).get('dark-halo-scope', '')}.",
        "`croissant.json` describes the files for machines; `SHA256SUMS` holds their checksums.",
        "",
        "Datasheets for datasets: Gebru et al. (2021), doi:10.1145/3458723.",
    ]
    return "\n".join(lines) + "\n"


def croissant(
    pairs: Pairs, name: str, licence: str | None, files: list[tuple[str, str]], schema: pa.Schema | None
) -> dict:
    """Croissant 1.0 metadata.

    Parameters
    ----------
    pairs : Pairs
    name : str
    licence : str, optional
        SPDX name or address.
    files : list of (name, sha256)
        Relative to the folder.
    schema : pyarrow.Schema, optional
        Columns of the parquet files; without one the files alone are described.
    """
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": file,
            "name": file,
            "contentUrl": file,
            "encodingFormat": MEDIA[file.rsplit(".", 1)[-1]],
            "sha256": digest,
        }
        for file, digest in files
    ]
    data = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CROISSANT,
        "name": name,
        "description": " ".join(("Galaxy stamps with and without a lensed arc, in pairs.", *what_is_mock(pairs))),
        "version": "1.0.0",
        "distribution": objects,
        "isLiveDataset": False,
    }
    data |= {"license": licence} if licence else {}
    if schema is not None:
        data["recordSet"] = [
            {"@type": "cr:RecordSet", "@id": f"part-{i}", "name": file, "field": [_field(f, i, file) for f in schema]}
            for i, (file, _) in enumerate(files)
        ]
    return data


def _field(field: pa.Field, part: int, file: str) -> dict:
    image = pa.types.is_list(field.type)
    kind = "sc:Float" if image else TYPES.get(str(field.type), "sc:Integer")
    source = {"fileObject": {"@id": file}, "extract": {"column": field.name}}
    told = {
        "@type": "cr:Field",
        "@id": f"part-{part}/{field.name}",
        "name": field.name,
        "dataType": kind,
        "source": source,
    }
    return told | ({"repeated": True, "description": "3 x 64 x 64, g r z, nanomaggies"} if image else {})


def sums(out: str, paths: list[str]) -> list[tuple[str, str]]:
    """Relative name and SHA-256 of each file, written as ``SHA256SUMS``."""
    found = [(path[len(out.rstrip("/")) + 1 :], storage.sha256(path)) for path in paths]
    storage.write_bytes(storage.join(out, "SHA256SUMS"), "".join(f"{d}  {n}\n" for n, d in found).encode())
    return found
