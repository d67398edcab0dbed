/** Messages and service of `signalbox.policy.v1`. */
export * from "../gen/signalbox/policy/v1/decision_pb.js";
export * from "../gen/signalbox/policy/v1/grant_pb.js";
export * from "../gen/signalbox/policy/v1/policy_pb.js";
export * from "../gen/signalbox/policy/v1/policy_service_pb.js";
export * from "../gen/signalbox/policy/v1/replay_pb.js";
