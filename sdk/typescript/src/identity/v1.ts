/** Messages and service of `signalbox.identity.v1`. */
export * from "../gen/signalbox/identity/v1/identity_service_pb.js";
export * from "../gen/signalbox/identity/v1/issuer_pb.js";
export * from "../gen/signalbox/identity/v1/key_pb.js";
export * from "../gen/signalbox/identity/v1/role_pb.js";
export * from "../gen/signalbox/identity/v1/team_pb.js";
export * from "../gen/signalbox/identity/v1/user_pb.js";
