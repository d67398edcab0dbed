/** Messages and service of `signalbox.registry.v1`. */
export * from "../gen/signalbox/registry/v1/agent_pb.js";
export * from "../gen/signalbox/registry/v1/credential_pb.js";
export * from "../gen/signalbox/registry/v1/registry_service_pb.js";
