"""What a report page says, read back from its HTML to be checked."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """A page that was read.

    Attributes:
      numbers: (pointer, value, text) of each number.
      embedded: the page's copy of `results.json`.
      lesions, patients: the tables, a list of (text, what to sort by) for each row.
      slices: (name of the image, caption) of each slice.
    """

    def __init__(self) -> None:
        """Nothing was read yet; `read` makes a whole one."""
        super().__init__()
        self.numbers: list[tuple[str, str, str]] = []
        self.embedded = ""
        self.lesions: list[list[tuple[str, str]]] = []
        self.patients: list[list[tuple[str, str]]] = []
        self.slices: list[tuple[str, str]] = []
        self._tables = {"lesion-table": self.lesions, "patient-table": self.patients}
        self._table: list[list[tuple[str, str]]] | None = None
        self._body = False
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what the text that follows belongs to."""
        given = {name: value or "" for name, value in attrs}
        if "data-at" in given:
            self.numbers.append((given["data-at"], given.get("data-value", ""), ""))
            self._inside = "number"
        elif tag == "script" and given.get("id") == "results":
            self._inside = "results"
        elif tag == "table":
            self._table = self._tables.get(given.get("id", ""))
        elif tag == "tbody":
            self._body = self._table is not None
        elif tag == "tr" and self._body and self._table is not None:
            self._table.append([])
        elif tag in ("th", "td") and self._body and self._table:
            self._table[-1].append(("", given.get("data-sort", "")))
            self._inside = "cell"
        elif "data-image" in given:
            self.slices.append((given["data-image"], ""))
        elif tag == "figcaption" and self.slices:
            self._inside = "caption"

    def handle_endtag(self, tag: str) -> None:
        """Ends what the tag began."""
        ends = {"cell": ("th", "td"), "caption": ("figcaption",)}
        if tag in ends.get(self._inside, (tag,)):
            self._inside = ""
        if tag == "tbody":
            self._body = False

    def handle_data(self, data: str) -> None:
        """Adds text to what it belongs to."""
        if self._inside == "number":
            at, written, shown = self.numbers[-1]
            self.numbers[-1] = at, written, shown + data
        elif self._inside == "results":
            self.embedded += data
        elif self._inside == "cell" and self._table:
            text, order = self._table[-1][-1]
            self._table[-1][-1] = text + data, order
        elif self._inside == "caption":
            name, written = self.slices[-1]
            self.slices[-1] = name, written + data


def read(text: str) -> Page:
    """The page of `text`, of report.html."""
    page = Page()
    page.feed(text)
    page.close()
    page.slices = [(name, " ".join(caption.split())) for name, caption in page.slices]
    return page
