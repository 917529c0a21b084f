// How documents become rows. Every text is set as text, never as HTML: payloads, results, labels and reasons were written
// by strangers.

const shownWorkers = 200; // rows; a grid with more has a note below
const shownText = 200; // characters of a payload, result or reason
const workerTone = { ACTIVE: "good", DRAINING: "busy", UNHEALTHY: "warn", OFFLINE: "bad" };
const taskTone = {
  COMPLETED: "good", DISPATCHED: "busy", PROCESSING: "busy", RETRYING: "warn", TIMEOUT: "warn", FAILED: "bad", CANCELLED: "warn",
};
const breakerTone = { closed: "good", "half-open": "warn", open: "bad" };
const eventTone = { ...workerTone, ...taskTone, ...breakerTone, connected: "good", broken: "bad" };

const byId = (id) => document.getElementById(id);

// cell returns a table cell. <bdi> keeps text that runs from right to left from turning the row around.
function cell(text, className = "") {
  const td = document.createElement("td");
  const bdi = document.createElement("bdi");
  const whole = String(text ?? "");
  bdi.textContent = whole.length > shownText ? `${whole.slice(0, shownText)}…` : whole;
  td.append(bdi);
  td.className = className;
  if (whole.length > 20) td.title = bdi.textContent;
  return td;
}

const toned = (text, tones) => cell(text, `state ${tones[text] ?? ""}`);

function row(...cells) {
  const tr = document.createElement("tr");
  tr.append(...cells);
  return tr;
}

// fill replaces the rows of a table and the note below it.
function fill(id, rows, note = "") {
  byId(id).replaceChildren(...rows);
  byId(`${id}-note`).textContent = note;
}

const duration = (ms) => {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${Math.round(ms * 10) / 10} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
};

const clock = (ms) => `${new Date(ms).toLocaleTimeString([], { hour12: false })}.${String(ms % 1000).padStart(3, "0")}`;

export function showConnection(tone, text) {
  byId("connection").className = `state ${tone}`;
  byId("connection").textContent = text;
}

export function showTrouble(id, text) {
  byId(`${id}-note`).textContent = text;
}

export function showStats(stats) {
  const missing = byId("missing");
  missing.hidden = stats.missing.length === 0;
  missing.textContent = `Not answering, and shown as last known – ${stats.missing.join("; ")}`;
  const d = stats.dispatcher;
  byId("leader").textContent = d ? `dispatcher ${d.leader || "without a leader"}, term ${d.term}, up ${duration(d.uptime_s * 1000)}` : "";

  const tiles = ["queued", "running", "retrying", "completed", "failed", "cancelled"].map((name) => [name, stats.tasks[name]]);
  tiles.push(["timeouts", stats.timeouts], ["mean time", duration(stats.avg_processing_time_ms)]);
  byId("totals").replaceChildren(...tiles.map(([name, value]) => {
    const tile = document.createElement("div");
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value.toLocaleString();
    tile.append(dt, dd);
    return tile;
  }));

  fill("types", stats.task_types.map((type) => {
    const t = stats.per_type[type] ?? {};
    return row(cell(type, "state"), cell(stats.workers.by_type[type] ?? 0), cell(t.queued), cell(t.running), cell(t.retrying),
      cell(t.completed), cell(t.failed), cell(duration(t.p50_ms)), cell(duration(t.p95_ms)), cell(duration(t.p99_ms)));
  }), stats.task_types.length === 0 ? "No type is known yet." : "");
}

export function showWorkers(list) {
  const more = list.workers.length - shownWorkers;
  const note = list.workers.length === 0 ? "No worker is registered." : more > 0 ? `and ${more} more` : "";
  fill("workers", list.workers.slice(0, shownWorkers).map((w) => {
    const state = toned(w.state, workerTone);
    if (!w.registered) state.append(" (no longer registered)");
    const breaker = toned(w.breaker || "–", breakerTone);
    if (!w.connected && w.error) {
      breaker.append(" (not connected)");
      breaker.title = w.error;
    }
    const heartbeat = w.timestamp_last_heartbeat ? `${duration(w.last_heartbeat_age_ms)} ago` : "–";
    return row(cell(w.worker_id), cell(w.types.join(", ")), state, cell(heartbeat), breaker,
      cell(`${w.running} / ${w.capacity}`), cell(w.completed), cell(w.failed), cell(w.address));
  }), note);
}

export function showTasks(tasks) {
  fill("tasks", tasks.map((t) => row(cell(t.id), cell(t.type), cell(t.payload, "wide"), toned(t.status, taskTone),
    cell(t.result ?? t.error, `wide ${t.result === undefined && t.error ? "warn" : ""}`), cell(t.worker_id),
    cell(`${t.attempts} / ${t.max_attempts}`), cell(duration(t.duration_ms)))), tasks.length === 0 ? "No task yet." : "");
}

export function showEvents(events) {
  fill("events", events.map((e) => {
    const what = e.kind === "task" ? `task ${e.task_id} (${e.type})` : `worker: ${e.aspect}`;
    return row(cell(e.sequence), cell(clock(e.timestamp)), cell(what), cell(e.from), toned(e.to, eventTone),
      cell(e.worker_id), cell(e.reason, "wide"));
  }), events.length === 0 ? "No event yet." : "");
}
