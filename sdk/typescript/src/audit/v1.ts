/** Messages and service of `signalbox.audit.v1`. */
export * from "../gen/signalbox/audit/v1/audit_service_pb.js";
export * from "../gen/signalbox/audit/v1/event_pb.js";
