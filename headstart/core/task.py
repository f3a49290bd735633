"""The task: question asked, decision it informs, outcome, and where the data are."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Columns:
    """Which columns play which part; empty means guessed, or none.

    Attributes:
        target: what is to be predicted; for tags also several columns of 0 and 1: "A,B", "NR-*".
        inputs: what it is predicted from.
        also: further targets that are learned beside it, never inputs; COLUMN, or COLUMN=OUTCOME where its
            outcome is not to be guessed.
        group: rows of one value never straddle a split.
        time: the test split is the latest part.
        sensitive: looked at by slices and audits, never an input.
        split: a column with the values "train" and "test" that fixes the split, or COLUMN=VALUE: the rows
            with that value (or one of several, with commas between) are the test split.
        leave_out: values of the split column: their rows are neither learned from nor tested on.
        drop: columns that are neither inputs nor metadata.
        sample: rows of one value are the steps of one sample (a long table).
        order: column, beside `sample`, that orders a sample's rows and becomes an input.
    """

    target: str = ""
    inputs: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    group: str = ""
    time: str = ""
    sensitive: tuple[str, ...] = ()
    split: str = ""
    leave_out: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    sample: str = ""
    order: str = ""


@dataclass(frozen=True)
class Ahead:
    """What is forecast, and from what.

    Attributes:
        horizon: steps to forecast.
        history: steps to forecast from; 0: four periods, at least the horizon.
        frequency: "h", "15min", "D", "M" ...: one step; "": read off the time stamps.
        known: inputs whose coming values are known when a forecast is made: columns, or the parts
            "hour", "weekday" and "yearday" of the calendar.
    """

    horizon: int = 0
    history: int = 0
    frequency: str = ""
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskCard:
    """Why the run is made; printed in the report, compared between runs.

    Attributes:
        data_licence: of the data, by its SPDX name; "own" for the person's own; "": nobody says.
        uses: what the licences have to allow: "commercial", "share", "modify"; a source that does not grant
            one is refused.
    """

    question: str = ""
    decision: str = ""
    required: float | None = None
    assumptions: tuple[str, ...] = ()
    owner: str = ""
    data_licence: str = ""
    uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """What is to be learned.

    Attributes:
        data: folder of class folders, a CSV, Parquet, JSONL or CoNLL file, a folder of such files, or
            "hf:NAME[:CONFIG][:SPLIT]", a data set of the hub; "" for arrays in memory.
        outcome: a file name of `heads/`: "classify", "ordinal", "regress", "tag", "label_each", "forecast",
            "answer"; "auto" reads it off the targets.
        modality: a folder name of `modalities/`, or "auto".
        per_class: labelled rows per class to learn from (drawn with the plan's seed); 0: all.
        test_share: share of rows in the sealed test split, where no split column fixes it.
        tolerate: share of rows that may be set aside before the run stops.
        near_duplicates: whether near-duplicates are kept on one side of the split.
        out_of_scope: the label that means "none of the known classes": never learned as a class, its
            rows serve to choose and to judge what tells such rows; "": there is none.
        forecast: horizon, history, frequency; a horizon asks for the outcome "forecast".
        levels: values of the target from the lowest to the highest; they ask for the outcome "ordinal".
    """

    data: str = ""
    outcome: str = "auto"
    modality: str = "auto"
    columns: Columns = field(default_factory=Columns)
    card: TaskCard = field(default_factory=TaskCard)
    per_class: int = 0
    test_share: float = 0.25
    tolerate: float = 0.05
    near_duplicates: bool = True
    out_of_scope: str = ""
    forecast: Ahead = field(default_factory=Ahead)
    levels: tuple[str, ...] = ()
