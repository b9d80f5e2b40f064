"""The kinds of entries that the ledger has, each with what it says."""

from __future__ import annotations

# A test compares them with what the code appends.
KINDS = {
    "started": "a run was started for what is due and not done",
    "skipped": "a person gave up a day of a table",
    "staged": "a batch was written where no reader looks",
    "refused": "a delivery could not be used, or a candidate may not become champion",
    "verdict": "a gate's verdict that publishes",
    "held": "a gate's verdict that does not publish",
    "published": "a batch became visible to readers",
    "day_completed": "all sources of a run day have crossed",
    "waiver": "a person lets a held batch be published",
    "release_rejected": "a person was asked for a release, and rejected it",
    "replayed": "what was held was sent through its gate again",
    "expired": "what was held has been given up, because it is too old",
    "scheduled": "a live pipeline declares another schedule, zone, calendar or deadline than before",
    "deadline_missed": "a delivery is overdue",
    "rewritten": "a published partition is not what was published",
    "pinned": "a training fixed the snapshots that it reads",
    "trained": "a candidate was trained",
    "training_refused": "a training set was refused",
    "training_skipped": "nothing was trained, because learning is paused",
    "audited": "a candidate may become champion",
    "promoted": "a candidate became champion",
    "rolled_back": "a person let an earlier version score again, or no model",
    "stood_in": "the champion could not score, and another did in its place",
    "monitored": "the predictions of a day were measured",
    "not_measured": "what a day's predictions were made from is gone",
    "decided": "what monitoring asks for: nothing, attention, or a new model",
    "retrain_requested": "monitoring asked for a new model",
    "mail": "a mail was sent, or could not be",
    "maintaining": "what the maintenance is about to remove",
    "maintained": "what the maintenance has removed or checked",
    "settled": "up to where nothing is open any more",
}
