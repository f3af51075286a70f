"""A catalogue of four things, with attributes that are missing, several, empty, dates, and numbers as texts."""

from recsvc.releases import CatalogueItem

FILMS = [
    CatalogueItem("a", "Heat", {"genres": ["Crime", "Drama"], "year": "1995", "added": "2024-01-31"}, 7, "film"),
    CatalogueItem(
        "1994", None, {"genres": "Drama", "year": ["1994.0", "2010"], "added": "2024-01-31T18:00"}, 0, "film"
    ),
    CatalogueItem("c", "2024-02-01", {"genres": [], "sold out": "yes"}, 3, "film"),
    CatalogueItem("Drama", "Heat", {}, 0, "genre"),
]
