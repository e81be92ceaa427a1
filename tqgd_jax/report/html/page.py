"""The report page: one file that holds everything and asks the network for nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tqgd_jax.evaluation.measures.size_strata import size_names
from tqgd_jax.report.html import figures, metric_tables, page_sections
from tqgd_jax.report.html.gallery import SelectedSlice, drawn, gallery_images
from tqgd_jax.report.html.html_tables import lesion_table, patient_table
from tqgd_jax.report.html.numbers import DASH, Numbers, pointer
from tqgd_jax.report.html.template import embedded, environment, part

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
    top = page_sections.headline(results)
    used = [row for row in lesions if drawn(row, cut)]
    template = environment().get_template(PAGE)
    return template.render(
        results=results,
        title=results["title"] or "Evaluation",
        contents=[(k, v) for k, v in page_sections.CONTENTS.items() if k not in hidden],
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
        froc={p: figures.froc(numbers, p) for p in known if known[p]},
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
