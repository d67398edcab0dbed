/** A page of a list: its items and the token of the page after it. */
export interface Page<T> {
  items: T[];
  nextPageToken: string;
}

/**
 * Pager walks a list to its end and asks for the next page only when the items
 * of the one before are used up. Each `for await` starts anew.
 *
 * ```ts
 * for await (const agent of client.listAgents()) console.log(agent.name);
 * for await (const page of client.listAgents().pages()) console.log(page.length);
 * ```
 */
export class Pager<T> implements AsyncIterable<T> {
  readonly #fetch: (pageToken: string) => Promise<Page<T>>;
  readonly #start: string;

  /** @internal */
  constructor(fetch: (pageToken: string) => Promise<Page<T>>, start = "") {
    this.#fetch = fetch;
    this.#start = start;
  }

  /** The items, page after page. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const page of this.pages()) {
      yield* page;
    }
  }

  /** The pages as the gateway cuts them. A page may be empty. */
  async *pages(): AsyncGenerator<T[], void, undefined> {
    let token = this.#start;
    do {
      const page = await this.#fetch(token);
      yield page.items;
      token = page.nextPageToken;
    } while (token !== "");
  }

  /** All items at once, or the first `limit` of them. */
  async toArray(limit = Infinity): Promise<T[]> {
    const items: T[] = [];
    if (limit <= 0) return items;
    for await (const item of this) {
      items.push(item);
      if (items.length >= limit) break;
    }
    return items;
  }
}
