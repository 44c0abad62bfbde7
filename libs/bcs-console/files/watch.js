// A stream of JSON objects, one behind the other with or without blanks between them, as bcs-storage sends it.

/** Cuts text, piece by piece, into the JSON objects in it. */
export class ObjectSplitter {
  #text = "";
  #at = 0;
  #start = -1;
  #depth = 0;
  #quoted = false;
  #escaped = false;

  /** Takes a piece and returns the objects that it completes. */
  push(piece) {
    this.#text += piece;
    const found = [];
    for (; this.#at < this.#text.length; this.#at++) {
      const c = this.#text[this.#at];
      if (this.#escaped) this.#escaped = false;
      else if (this.#quoted) {
        if (c === "\\") this.#escaped = true;
        else if (c === '"') this.#quoted = false;
      } else if (c === '"') this.#quoted = true;
      else if (c === "{") {
        if (this.#depth++ === 0) this.#start = this.#at;
      } else if (c === "}" && --this.#depth === 0) {
        found.push(JSON.parse(this.#text.slice(this.#start, this.#at + 1)));
        this.#text = this.#text.slice(this.#at + 1);
        this.#at = -1;
      }
    }
    return found;
  }
}

/** Calls `each` with every object of the answer until it ends or is aborted. */
export async function readObjects(response, each) {
  const splitter = new ObjectSplitter();
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (const object of splitter.push(decoder.decode(value, { stream: true }))) each(object);
  }
}
