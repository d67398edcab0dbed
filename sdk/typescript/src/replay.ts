import { Code, ConnectError } from "@connectrpc/connect";
import { toSignalboxError } from "./errors.js";
import type { ReplayPolicyResponse } from "./gen/signalbox/policy/v1/policy_service_pb.js";
import type { Replay, ReplayProgress } from "./gen/signalbox/policy/v1/replay_pb.js";

/**
 * PolicyReplay is a replay at work. Loop over it to follow how far it has come, and
 * take its report at the end; or take the report alone, which waits for it.
 *
 * ```ts
 * const replay = client.replayPolicy({ draft: { text } });
 * for await (const { eventsRead, eventsTotal } of replay) console.log(eventsRead, "of", eventsTotal);
 * const report = await replay.report();
 * ```
 *
 * The replay begins with the loop, or when the report is asked for. Leaving the loop ends
 * it, and there is no report then.
 */
export class PolicyReplay implements AsyncIterable<ReplayProgress> {
  readonly #progress: AsyncGenerator<ReplayProgress, void, undefined>;
  #report: Replay | undefined;

  /** @internal */
  constructor(responses: AsyncIterable<ReplayPolicyResponse>) {
    this.#progress = this.#read(responses);
  }

  /** How far the replay has come, each time that the gateway says it. */
  [Symbol.asyncIterator](): AsyncGenerator<ReplayProgress, void, undefined> {
    return this.#progress;
  }

  /** What the recorded decisions would have come to. */
  async report(): Promise<Replay> {
    while (!(await this.#progress.next()).done);
    if (this.#report) return this.#report;
    throw toSignalboxError(new ConnectError("the replay ended without a report", Code.DataLoss));
  }

  async *#read(responses: AsyncIterable<ReplayPolicyResponse>): AsyncGenerator<ReplayProgress, void, undefined> {
    for await (const { step } of responses) {
      if (step.case === "progress") yield step.value;
      else if (step.case === "result") this.#report = step.value;
    }
  }
}
