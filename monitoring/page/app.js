// The page: everything it shows comes over one stream of events (see stream.js), but for the newest tasks, which are
// asked for after an event says that one changed, at most once a second.
import { Stream } from "./stream.js";
import { showConnection, showEvents, showStats, showTasks, showTrouble, showWorkers } from "./view.js";

const taskPage = "/tasks?limit=15";
const taskPause = 1000; // milliseconds between two requests for tasks
const eventPause = 200; // milliseconds between two redraws of the log, however many events come
const keptEvents = 100; // rows of the log

let events = []; // the newest first
let eventsDrawn = true;
let tasksAsked = false;

function onEvent(event) {
  events.unshift(event);
  events.length = Math.min(events.length, keptEvents);
  if (eventsDrawn) {
    eventsDrawn = false;
    setTimeout(() => { eventsDrawn = true; showEvents(events); }, eventPause);
  }
  if (event.kind === "task") askTasks();
}

// askTasks asks for the newest tasks once, after a pause, however often it is called meanwhile.
function askTasks() {
  if (tasksAsked) return;
  tasksAsked = true;
  setTimeout(async () => {
    tasksAsked = false;
    try {
      const response = await fetch(taskPage, { signal: AbortSignal.timeout(10_000) });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.message);
      showTasks(answer.tasks);
    } catch (error) {
      showTrouble("tasks", `not up to date: ${error.message}`);
      setTimeout(askTasks, taskPause);
    }
  }, taskPause);
}

new Stream({
  onState: showConnection,
  onStats: showStats,
  onWorkers: showWorkers,
  onEvent,
  onGap(why) { // the log has a hole from here on: begin it anew rather than hide that
    events = [];
    showEvents(events);
    showTrouble("events", why);
  },
}).start();
askTasks();
