"""The commands that look after a store: list, show, verify, activate, split, roll back, delete."""

import os
from pathlib import Path
from typing import Annotated

import typer

from recsvc.errors import ReleaseError

releases_app = typer.Typer(help="Look after the releases of a store.", no_args_is_help=True, rich_markup_mode=None)

StoreFolder = Annotated[
    Path, typer.Option("--store", help="Folder of releases.", envvar="RECSVC_STORE", show_default=False)
]
ReleaseId = Annotated[str, typer.Argument(help="Release id.", show_default=False)]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the log of promotions.")]


@releases_app.command("list")
def releases_list(store: StoreFolder) -> None:
    """List the releases, newest first."""
    from recsvc.releases import Store

    for info in Store(store).list():
        state = ", ".join(["active"] * info.active + ([f"damaged: {info.damage}"] if info.damage else []))
        print(f"{info.id}  {info.created:%Y-%m-%d %H:%M:%S}  {info.size / 1e6:8.1f} MB  {state}".rstrip())


@releases_app.command("show")
def releases_show(
    release: ReleaseId,
    store: StoreFolder,
    card: Annotated[bool, typer.Option("--card", help="Its model card instead.")] = False,
) -> None:
    """Print the manifest of a release, or its model card."""
    from recsvc.releases import Store

    opened = Store(store)
    manifest = opened.verify(release)
    if not card:
        print(manifest.to_bytes().decode(), end="")
    elif "card.md" in manifest.files:
        print((opened.path_of(release) / "card.md").read_text("utf-8"), end="")
    else:
        raise ReleaseError(f"Release {release} has no model card: it was published before there were any.")


@releases_app.command("verify")
def releases_verify(
    store: StoreFolder,
    release: Annotated[str | None, typer.Argument(help="Release id; all releases when empty.")] = None,
) -> None:
    """Check every byte of a release."""
    from recsvc.releases import Store

    opened = Store(store)
    for release_id in [release] if release else [info.id for info in opened.list()]:
        files = opened.verify(release_id).files
        print(f"{release_id}: {len(files)} files as published")


@releases_app.command("activate")
def releases_activate(release: ReleaseId, store: StoreFolder, reason: Reason = "asked for") -> None:
    """Verify a release and let it take traffic."""
    from recsvc.releases import Store

    Store(store).activate(release, actor=current_user(), reason=reason)
    print(release)


@releases_app.command("split")
def releases_split(
    shares: Annotated[list[str], typer.Argument(metavar="ID=SHARE...", help="Releases with shares that add up to 1.")],
    store: StoreFolder,
    reason: Reason = "asked for",
) -> None:
    """Verify releases and let them share the traffic; the first leads, and answers for one that fails."""
    from recsvc.releases import Store

    Store(store).split([_share(text) for text in shares], actor=current_user(), reason=reason)
    print("\n".join(shares))


@releases_app.command("rollback")
def releases_rollback(store: StoreFolder, reason: Reason = "asked for") -> None:
    """Go back to the release that was active before."""
    from recsvc.releases import Store

    print(Store(store).rollback(actor=current_user(), reason=reason))


@releases_app.command("gc")
def releases_gc(
    store: StoreFolder,
    keep: Annotated[int, typer.Option("--keep", help="Newest releases to keep.", min=0)] = 5,
) -> None:
    """Delete old releases; the active one and the one before it always stay."""
    from recsvc.releases import Store

    for release_id in Store(store).gc(keep):
        print(release_id)


def _share(text: str) -> tuple[str, float]:
    release, _, share = text.rpartition("=")
    try:
        return release, float(share)
    except ValueError:
        raise ReleaseError(f"{text!r} is no share: write ID=SHARE, such as {release or share}=0.1.") from None


def current_user() -> str:
    """The name of whoever runs the command."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's numeric user has no name
        return f"uid {os.getuid()}"
