/** Messages of `signalbox.rollout.v1`. */
export * from "../gen/signalbox/rollout/v1/rollout_pb.js";
