// Stream keeps one stream of Server-Sent Events open, for as long as the page lives. When the connection breaks, the
// browser reconnects by itself and names the last event it got (Last-Event-ID), so that none is lost or shown twice.
// Three things the browser does not do, so this does: begin anew after it gave up (an error answer instead of a
// stream), after the events it wants are forgotten, and when the other side is silent without having hung up.

const history = 100; // how many past events a new page asks for
const pause = 1000; // milliseconds before beginning anew
const silence = 8000; // milliseconds without any message, where one per collection is usual

export class Stream {
  // handlers: onState(name, text), onStats(document), onWorkers(document), onEvent(event), onGap(why)
  constructor(handlers) {
    this.handlers = handlers;
    this.last = null; // the sequence number of the last event; null before the first stream
    this.source = null;
    this.heard = Date.now();
  }

  start() {
    this.open();
    setInterval(() => {
      if (this.source && Date.now() - this.heard > silence) this.again("nothing heard for a while");
    }, pause);
  }

  async open() {
    this.heard = Date.now();
    try {
      const since = await this.position();
      const source = new EventSource(`/events?with=stats,workers&since=${since}`);
      this.source = source;
      source.onopen = () => this.handlers.onState("good", "live");
      source.onmessage = (message) => this.event(message);
      source.addEventListener("stats", (message) => this.document(message, this.handlers.onStats));
      source.addEventListener("workers", (message) => this.document(message, this.handlers.onWorkers));
      source.addEventListener("end", (message) => this.again(JSON.parse(message.data).message));
      source.onerror = () => {
        if (source.readyState === EventSource.CLOSED) this.again("monitoring refused the stream");
        else this.handlers.onState("bad", "connection lost – reconnecting …");
      };
    } catch {
      this.again("monitoring does not answer");
    }
  }

  // position asks which events there are and returns the number to begin after.
  async position() {
    const response = await fetch("/stats", { signal: AbortSignal.timeout(5000) });
    const stats = await response.json();
    this.handlers.onStats(stats);
    const before = Math.max(0, (stats.dispatcher?.first_event ?? 0) - 1); // the last number that is forgotten
    const newest = stats.dispatcher?.last_event ?? 0;
    const recent = Math.max(before, newest - history);
    if (this.last === null) {
      this.last = recent;
    } else if (this.last < before) {
      this.handlers.onGap(`events up to number ${before} are forgotten`);
      this.last = recent;
    } else if (this.last > newest && stats.missing.length === 0) {
      this.handlers.onGap("the grid began anew");
      this.last = recent;
    }
    return this.last;
  }

  event(message) {
    this.heard = Date.now();
    const event = JSON.parse(message.data);
    if (event.sequence <= this.last) return;
    this.last = event.sequence;
    this.handlers.onEvent(event);
  }

  document(message, show) {
    this.heard = Date.now();
    show(JSON.parse(message.data));
  }

  // again closes the stream and opens another one after a pause.
  again(why) {
    this.source?.close();
    this.source = null;
    this.handlers.onState("bad", `connection lost (${why}) – reconnecting …`);
    setTimeout(() => this.open(), pause);
  }
}
