"""The report page: one file that holds everything and asks the network for nothing."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from tqgd_jax.evaluation.measures.size_strata import size_names
from tqgd_jax.report.html import figures, metric_tables, page_sections, wording
from tqgd_jax.report.html.gallery import SelectedSlice, drawn, gallery_images
from tqgd_jax.report.html.html_tables import lesion_table, patient_table
from tqgd_jax.report.html.numbers import DASH, Numbers, pointer
from tqgd_jax.report.html.strip import glimpses
from tqgd_jax.report.html.template import embedded, environment, part
from tqgd_jax.report.pictures import DISCLAIMER

PAGE = "report.html"


def render(
    results: dict[str, Any],
    lesions: Sequence[Mapping[str, Any]] = (),
    patients: Sequence[Mapping[str, Any]] = (),
    gallery: Sequence[SelectedSlice] = (),
    bundle_files: Sequence[str] = (),
) -> str:
    """The page as text.

    Args:
      results: of schema tqgd_jax.results/1, as it stands in results.json.
      lesions: rows of lesions.csv.
      patients: rows of patients.csv.
      gallery: slices to show; `rows` of each point into `lesions`.
      bundle_files: names of files beside the page.
    """
    numbers = Numbers(results)
    edges = results["settings"]["size_px"]
    cut, drawn_rule = page_sections.drawn_from(results)
    shown = gallery_images(gallery, lesions, edges, cut)
    known = {p: page_sections.known_keys(results, p) for p in metric_tables.PROTOCOLS}
    images = wording.of_images(results, lesions, gallery)
    if images:
        known = {p: [*filter(wording.known_of_images, known[p])] for p in known}
    tables = {p: page_sections.tables(keys) for p, keys in known.items()}
    strata = [
        (
            section,
            page_sections.CONTENTS[section],
            [family for family, _, _ in families],
        )
        for section, families in page_sections.STRATA.items()
        if any(t[f].rows for t in tables.values() for f, _, _ in families)
    ]
    folds = [
        (p, page_sections.main_keys(results, known[p]))
        for p in metric_tables.PROTOCOLS
        if results["protocols"][p].get("folds")
    ]
    further = any(t["rest"].rows for t in tables.values())
    hidden = {
        s for s in page_sections.STRATA if s not in {name for name, _, _ in strata}
    }
    hidden |= set() if folds else {"folds"}
    hidden |= set() if further else {"further"}
    hidden |= wording.SECTIONS if images else set()
    contents = {**page_sections.CONTENTS}
    if images:
        contents["gallery"] = "Images"
    top = [(k, at) for k, at in page_sections.headline(results) if k in _all(known)]
    used = [row for row in lesions if drawn(row, cut)]
    words: Any = wording.for_images if images else Markup
    made = environment()
    made.filters |= {"worded": words, "coded": _coded}
    template = made.get_template(PAGE)
    return template.render(
        results=results,
        title=results["title"] or "Evaluation",
        contents=[(k, v) for k, v in contents.items() if k not in hidden],
        images=images,
        disclaimer=DISCLAIMER,
        glimpses=glimpses(gallery[: len(shown)], lesions, edges, cut),
        plain=page_sections.plain(results),
        glossary={
            key: text
            for key, text in results["glossary"].items()
            if not images or wording.known_of_images(key)
        },
        level=f"{100 * results['settings']['level']:g}",
        n=numbers.number,
        interval=numbers.interval,
        reasons=numbers.reasons,
        missing=lambda p: Markup(DASH) + numbers.why(results["protocols"][p]["reason"]),
        pointer=pointer,
        at=lambda p, key: pointer("protocols", p, "figures", key) if key else "",
        name=metric_tables.name,
        meaning=lambda key: metric_tables.meaning(results, key),
        protocols=metric_tables.PROTOCOLS,
        judged={p: bool(keys) for p, keys in known.items()},
        headline=top,
        headline_words=dict.fromkeys(
            text for key, _ in top if (text := metric_tables.meaning(results, key))
        ),
        source=results["settings"]["threshold_source"],
        thresholds=[
            (fold, pointer("settings", "thresholds", fold))
            for fold in results["settings"].get("thresholds") or {}
        ],
        optimistic=lambda p: page_sections.optimistic(known[p], p),
        main_keys=page_sections.main_keys(
            results, [*known["clinical"], *known["paper"]]
        ),
        tables=tables,
        captions=page_sections.CAPTIONS,
        strata=strata,
        further=further,
        folds=folds,
        pr={p: figures.precision_recall(numbers, p) for p in known if known[p]},
        froc={p: figures.froc(numbers, p, images=images) for p in known if known[p]},
        bars=_bars(numbers, known),
        calcium=figures.calcium(numbers) if "figures" in results["calcium"] else None,
        spread=results["calcium"].get("spread"),
        patients=patient_table(patients, results),
        gallery_images=shown,
        images_left=len(gallery) - len(shown),
        window=results.get("inputs", {}).get("window", ""),
        gallery_patients=sorted({one.selected.patient for one in shown}),
        strata_names=size_names(edges),
        drawn_from=drawn_rule,
        lesions=lesion_table(used, len(lesions), shown, results["input"]["classes"]),
        settings=page_sections.settings(results),
        provenance=page_sections.provenance(results),
        files=bundle_files,
        embedded=embedded(results),
        css=part("page.css"),
        js=part("page.js"),
    )


def _all(known: dict[str, list[str]]) -> set[str]:
    return {key for keys in known.values() for key in keys}


def _coded(text: str) -> Markup:
    """Text with `commands` set as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _bars(numbers: Numbers, known: dict[str, list[str]]) -> dict[str, Any]:
    """A chart for each family of strata of the headline's protocol, None without."""
    protocol = numbers.results["headline"]["protocol"]
    if not known[protocol]:
        protocol = next((p for p in known if known[p]), protocol)
    return {
        family: figures.strata(numbers, protocol, family, corner, unit, known[protocol])
        for families in page_sections.STRATA.values()
        for family, corner, unit in families
    }
