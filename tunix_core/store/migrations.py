"""The schema, as the list of steps that made it; each is applied once, in a transaction.

Timestamps are UTC ISO-8601 text, JSON is text. Traces are never deleted and their sequence has
no gaps: a page at any depth is found by arithmetic instead of by counting rows.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

MIGRATIONS = Migrations("tunix_core")


@MIGRATIONS()
def traces(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE traces (
            sequence INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            created_at TEXT NOT NULL,
            source TEXT,
            content_key BLOB NOT NULL,
            body TEXT NOT NULL
        )
        """
    )
    # Eight of the 32 bytes find a trace; a short index stays in memory for longer.
    db.execute("CREATE INDEX traces_content ON traces (substr(content_key, 1, 8))")
    for event in ("DELETE", "UPDATE"):
        db.execute(
            f"""
            CREATE TRIGGER traces_never_see_{event} BEFORE {event} ON traces
            BEGIN SELECT RAISE(ABORT, 'traces are never changed or deleted'); END
            """
        )
    db.execute(
        """
        CREATE TABLE trace_labels (
            key TEXT NOT NULL,
            label TEXT NOT NULL,
            chunk INTEGER NOT NULL,
            bits BLOB NOT NULL,
            PRIMARY KEY (key, label, chunk)
        ) WITHOUT ROWID
        """
    )
    db.execute("CREATE INDEX trace_labels_chunk ON trace_labels (chunk, key)")
    db.execute(
        """
        CREATE TABLE imports (
            id TEXT PRIMARY KEY,
            created_at TEXT NOT NULL,
            source TEXT NOT NULL,
            file TEXT NOT NULL,
            accepted INTEGER NOT NULL,
            duplicates INTEGER NOT NULL,
            rejected INTEGER NOT NULL,
            completed_at TEXT
        )
        """
    )


@MIGRATIONS()
def runs(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE runs (
            id TEXT PRIMARY KEY,
            sequence INTEGER NOT NULL UNIQUE,
            status TEXT NOT NULL,
            trainer TEXT NOT NULL,
            dataset_key TEXT NOT NULL,
            model_id TEXT NOT NULL,
            mode TEXT NOT NULL,
            config TEXT NOT NULL,
            output_dir TEXT NOT NULL,
            plugins TEXT NOT NULL,
            created_at TEXT NOT NULL,
            started_at TEXT,
            completed_at TEXT,
            exit_code INTEGER,
            error TEXT,
            token INTEGER NOT NULL DEFAULT 0,
            worker TEXT,
            lease_expires REAL,
            result TEXT
        )
        """
    )
    db.execute("CREATE INDEX runs_status ON runs (status, sequence)")


@MIGRATIONS()
def evaluations(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE evaluations (
            id TEXT PRIMARY KEY,
            sequence INTEGER NOT NULL UNIQUE,
            run_id TEXT NOT NULL REFERENCES runs (id),
            dataset_key TEXT NOT NULL,
            evaluator TEXT NOT NULL,
            evaluator_version TEXT NOT NULL,
            score REAL,
            scorecard TEXT NOT NULL,
            items_path TEXT NOT NULL,
            predictions_sha256 TEXT NOT NULL,
            created_at TEXT NOT NULL
        )
        """
    )
    db.execute("CREATE INDEX evaluations_run ON evaluations (run_id, evaluator, sequence)")
    db.execute(
        """
        CREATE TABLE baselines (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            run_id TEXT NOT NULL REFERENCES runs (id),
            metric TEXT NOT NULL,
            dataset_key TEXT NOT NULL,
            comparator TEXT NOT NULL,
            evaluation_id TEXT NOT NULL REFERENCES evaluations (id),
            created_at TEXT NOT NULL
        )
        """
    )


@MIGRATIONS()
def models(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE model_artifacts (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            description TEXT,
            task_type TEXT,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL
        )
        """
    )
    db.execute(
        """
        CREATE TABLE model_versions (
            id TEXT PRIMARY KEY,
            sequence INTEGER NOT NULL UNIQUE,
            artifact_id TEXT NOT NULL REFERENCES model_artifacts (id),
            version TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            source_run_id TEXT REFERENCES runs (id),
            registry TEXT NOT NULL,
            metrics TEXT NOT NULL,
            config TEXT NOT NULL,
            provenance TEXT NOT NULL,
            description TEXT,
            created_at TEXT NOT NULL,
            UNIQUE (artifact_id, version)
        )
        """
    )
    db.execute(
        """
        CREATE TABLE model_aliases (
            artifact_id TEXT NOT NULL REFERENCES model_artifacts (id),
            alias TEXT NOT NULL,
            version_id TEXT NOT NULL REFERENCES model_versions (id),
            PRIMARY KEY (artifact_id, alias)
        )
        """
    )


@MIGRATIONS()
def trace_scores(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE trace_scores (
            id INTEGER PRIMARY KEY,
            trace INTEGER NOT NULL REFERENCES traces (sequence),
            scored_at TEXT NOT NULL,
            criteria TEXT NOT NULL,
            score REAL NOT NULL,
            details TEXT NOT NULL
        )
        """
    )
    db.execute("CREATE INDEX trace_scores_trace ON trace_scores (trace)")


@MIGRATIONS()
def verdicts_and_metric_baselines(db: Database) -> None:
    db.execute("ALTER TABLE evaluations ADD COLUMN verdict TEXT")
    db.execute("ALTER TABLE evaluations ADD COLUMN grade INTEGER NOT NULL DEFAULT 1")
    for column in (
        "metric_name TEXT",
        "lower_is_better INTEGER",
        "eval_set TEXT",
        "wanted_dataset_key TEXT",
    ):
        db.execute(f"ALTER TABLE baselines ADD COLUMN {column}")


@MIGRATIONS()
def tuning(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE tuning_jobs (
            id TEXT PRIMARY KEY,
            sequence INTEGER NOT NULL UNIQUE,
            name TEXT NOT NULL,
            status TEXT NOT NULL,
            dataset_key TEXT NOT NULL,
            base_model_id TEXT NOT NULL,
            metric_name TEXT NOT NULL,
            metric_mode TEXT NOT NULL,
            num_samples INTEGER NOT NULL,
            max_concurrent_trials INTEGER NOT NULL,
            search_space TEXT NOT NULL,
            tuner TEXT NOT NULL,
            trainer TEXT NOT NULL,
            settings TEXT NOT NULL,
            seed INTEGER NOT NULL,
            created_at TEXT NOT NULL,
            mode TEXT NOT NULL,
            eval_dataset_key TEXT,
            best_run_id TEXT,
            best_params TEXT,
            started_at TEXT,
            completed_at TEXT,
            error TEXT,
            excused INTEGER NOT NULL DEFAULT 0
        )
        """
    )
    # A trial's run is made after it and under the id that it names, so there is no reference.
    db.execute(
        """
        CREATE TABLE tuning_trials (
            id TEXT PRIMARY KEY,
            job_id TEXT NOT NULL REFERENCES tuning_jobs (id),
            number INTEGER NOT NULL,
            run_id TEXT,
            params TEXT NOT NULL,
            status TEXT NOT NULL,
            created_at TEXT NOT NULL,
            metric_value REAL,
            error TEXT,
            completed_at TEXT,
            restarts INTEGER NOT NULL DEFAULT 0,
            UNIQUE (job_id, number)
        )
        """
    )
    db.execute("CREATE INDEX tuning_jobs_status ON tuning_jobs (status)")
    db.execute("CREATE INDEX tuning_trials_status ON tuning_trials (status, job_id)")


@MIGRATIONS()
def settings_not_yet_accepted(db: Database) -> None:
    # They were an empty object, as are the accepted ones of a trainer that has no settings.
    db.execute(
        """
        UPDATE runs SET config = '{"trainer": null' || substr(config, 15)
        WHERE substr(config, 1, 14) = '{"trainer": {}' AND instr(config, '"request": {')
        """
    )


@MIGRATIONS()
def evidence_of_evaluations(db: Database) -> None:
    for column in ("items_sha256 TEXT", "basis TEXT"):
        db.execute(f"ALTER TABLE evaluations ADD COLUMN {column}")
    # Who judged by a file of judgements before is asked with every judgement.
    db.execute("CREATE INDEX evaluations_items ON evaluations (items_path)")
