"""What a list that follows an earlier one takes over from its run: seed, policy, surfaces.

The law is docs/spec/outlet-lists.md#the-earlier-list.
"""

from __future__ import annotations

import logging
from pathlib import Path

from segment1b.config import RunSettings, as_settings, load_policy, policy_file
from segment1b.contracts.policy import Policy
from segment1b.errors import Segment1BError, visible
from segment1b.outlets.earlier import Earlier, find_earlier
from segment1b.pipeline.decide import bound_parameters, surface_digests
from segment1b.pipeline.worlds import find_world
from segment1b.reference.installing import SURFACES, missing
from segment1b.storage.root import find_root
from segment1b.storage.snapshot import BOUND, Snapshot

LOG = logging.getLogger("segment1b")
#: The sections of the policy that decide a coordinate.
_PLACING = ("prep", "allocation", "jitter")
#: The method under which the position of an outlet decides its coordinate.
_STEADY = "stable"


def continued(settings: RunSettings) -> RunSettings:
    """Return the settings with what an earlier list, if one is given, determines.

    Without `since` they are returned as they are.

    Raises:
        Segment1BError: E_USAGE naming a seed, a policy value or a reference surface that differs
            from that of the earlier list; as `find_earlier` and `bound_parameters`.
    """
    if settings.since is None:
        return settings
    earlier = find_earlier(settings.since, settings.dictionary)
    earlier.snapshot.fetch([*SURFACES, BOUND])
    old, surfaces = bound_parameters(earlier.snapshot)
    policy = load_policy(settings.policy_files, settings.settings, base=old)
    seed = earlier.snapshot.tokens["seed"]
    if settings.seed not in (None, seed):
        raise _differs(earlier, f"seed is {settings.seed}, was {seed}", "leave --seed out")
    if changes := _changes(old, policy):
        raise _differs(earlier, "; ".join(changes), "leave it out of --set and --policy")
    world = settings.world
    own, root = earlier.snapshot.root, find_root(settings.data_root)
    if world is None and own != root and not missing(own, earlier.snapshot.contracts):
        world = own
    _check_surfaces(earlier, surfaces, root, own if world is None else find_world(world))
    if policy.allocation.law != _STEADY:
        text = "allocation.law is %s: outlets that stay keep their position, but may move all the "
        text += "same; under %s they would not"
        LOG.warning(text, policy.allocation.law, _STEADY)
    return settings.model_copy(
        update={
            # The whole fingerprint: it stays the same list while others are imported.
            "since": Path(f"{own}:{earlier.fingerprint}"),
            "seed": seed,
            "world": world,
            "policy_files": (),
            "settings": as_settings(policy),
        }
    )


def _changes(old: Policy, policy: Policy) -> list[str]:
    """Return what differs of the policy that decides coordinates."""
    then, now = (policy_file(one.document()) for one in (old, policy))
    return [
        f"{section}.{key} is {value}, was {then[section][key]}"
        for section in _PLACING
        for key, value in now[section].items()
        if value != then[section][key]
    ]


def _check_surfaces(earlier: Earlier, surfaces: dict[str, str], root: Path, source: Path) -> None:
    """Refuse other surfaces in a root, or in the world that will give it those it lacks."""
    known = earlier.snapshot.contracts
    Snapshot(root, known, {}).fetch(SURFACES)
    absent = missing(root, known)
    present = [name for name in SURFACES if name not in absent]
    for folder, without in ((root, absent), (source, present)):
        for name, digest in surface_digests(folder, known, without).items():
            if digest != surfaces[name]:
                what = f"{name} in {folder} is {digest[:8]}, was {surfaces[name][:8]}"
                raise _differs(earlier, what, "use a new --data-root, or the old surfaces")


def _differs(earlier: Earlier, what: str, hint: str) -> Segment1BError:
    message = f"--since {visible(str(earlier.place))}: {what}, so outlets that stay would move"
    return Segment1BError("E_USAGE", message, f"{hint}, or import the list without --since")
