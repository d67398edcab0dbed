/** Messages and service of `signalbox.task.v1`. */
export * from "../gen/signalbox/task/v1/task_service_pb.js";
