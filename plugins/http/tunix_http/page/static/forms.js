/** Forms that act through the API: `data-action` names what a form does, `data-subject` to what. */

import {
  buildDataset,
  cancelRun,
  createModel,
  createRegressionBaseline,
  createTuningJob,
  evaluateRun,
  ingestDataset,
  promoteModelVersion,
  startTuningJob,
} from "./client.js";

/** Each takes a form's fields and what the form is about; it returns where to go or what to say. */
const ACTIONS = {
  async cancel(_fields, run) {
    await cancelRun(run);
    return { go: location.href };
  },

  async evaluate({ judge, dataset }, run) {
    const request = { judge_override: judge, dataset_key: dataset || null };
    const { evaluation_id: id } = await evaluateRun(run, request);
    return { go: `/evaluations/${id}` };
  },

  async upload({ file, source }) {
    const query = { source_name: source || file.name.replace(/\..*$/, "") };
    const report = await ingestDataset(file, query);
    const rejected = report.rejected_count ? `, ${report.rejected_count} lines rejected` : "";
    return { say: `${report.ingested_count} traces are stored${rejected}. Reload to see them.` };
  },

  async build({ name, version, filters, limit, strategy, seed }) {
    const { dataset_key: key } = await buildDataset({
      dataset_name: name,
      dataset_version: version,
      filters: readPairs(filters),
      limit: Number(limit),
      selection_strategy: strategy,
      seed: seed === "" ? null : Number(seed),
    });
    return { go: `/datasets/${encodeURIComponent(key)}` };
  },

  async baseline({ name, run, metric }) {
    await createRegressionBaseline({ name, run_id: run, metric });
    return { go: `/regressions?baseline=${encodeURIComponent(name)}` };
  },

  async tune({ name, dataset, model, metric, mode, samples, concurrent, space }) {
    const { id } = await createTuningJob({
      name,
      dataset_key: dataset,
      base_model_id: model,
      metric_name: metric,
      metric_mode: mode,
      num_samples: Number(samples),
      max_concurrent_trials: Number(concurrent),
      search_space: JSON.parse(space),
    });
    return { go: `/tuning/${id}` };
  },

  async startTuning(_fields, job) {
    await startTuningJob(job);
    return { go: location.href };
  },

  async model({ name, description }) {
    await createModel({ name, description: description || null });
    return { go: `/models/${encodeURIComponent(name)}` };
  },

  async promote({ run, label }, artifact) {
    await promoteModelVersion(artifact, { source_run_id: run, version_label: label || null });
    return { go: location.href };
  },
};

/** Let every such form below `root` act. */
export function watchForms(root) {
  for (const form of root.querySelectorAll("form[data-action]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      act(form);
    });
  }
}

async function act(form) {
  // Not form.dataset: a field called "dataset" would hide it.
  const action = form.getAttribute("data-action");
  const said = form.querySelector("[role=status]");
  const buttons = form.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  say(said, "Working…", "");
  try {
    const fields = Object.fromEntries(new FormData(form));
    const { go, say: message } = await ACTIONS[action](fields, form.getAttribute("data-subject"));
    if (go === location.href) location.reload();
    else if (go) location.assign(go);
    else say(said, message, "good");
  } catch (error) {
    say(said, error.message, "bad");
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function say(place, message, mood) {
  place.textContent = message;
  place.dataset.mood = mood;
}

/** `family=money difficulty=2` as an object; what is JSON is read as such. */
function readPairs(text) {
  const pairs = text.split(/\s+/).filter(Boolean);
  return Object.fromEntries(
    pairs.map((pair) => {
      const cut = pair.indexOf("=");
      if (cut < 1) throw new Error(`${pair} is no filter: write family=money`);
      return [pair.slice(0, cut), readValue(pair.slice(cut + 1))];
    }),
  );
}

function readValue(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
