package a2a

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/wire/jsonrpc"
)

// The types of details that the gateway reads or makes itself.
const (
	typePrefix    = "type.googleapis.com/"
	typeErrorInfo = typePrefix + "google.rpc.ErrorInfo"
	typeStruct    = typePrefix + "google.protobuf.Struct"
)

// ErrorFromJSONRPC reads the error that an agent answered over JSON-RPC. The code decides
// what it is.
func ErrorFromJSONRPC(v Version, o *jsonrpc.ErrorObject) Error {
	e := Error{Code: o.Code, Message: o.Message}
	e.readData(v, o.Data)
	return e
}

// readData takes in the data member of an error. Data that is not made of details is kept
// as it came: version 0.3 allows anything, and agents of 1.0 get it wrong.
func (e *Error) readData(v Version, data []byte) {
	if len(data) == 0 || isNull(data) {
		return
	}
	if elements, ok := arrayElements(data); ok {
		if v == V10 || allDetails(elements) {
			e.readDetails(elements)
			return
		}
	} else if name := typeOf(data); name == typeErrorInfo || name != "" && v == V10 {
		e.readDetails([][]byte{data})
		return
	}
	e.Data = data
}

// readDetails takes in details. The first ErrorInfo becomes reason, domain and metadata.
func (e *Error) readDetails(details [][]byte) {
	hasInfo := false
	for _, detail := range details {
		name := typeOf(detail)
		switch {
		case name == typeErrorInfo && !hasInfo && e.readInfo(detail):
			hasInfo = true
		case name == "":
			e.Details = append(e.Details, wrapStruct(detail))
		default:
			e.Details = append(e.Details, detail)
		}
	}
}

func (e *Error) readInfo(detail []byte) bool {
	doc, err := parseDocument(detail)
	if err != nil {
		return false
	}
	e.Reason, e.Domain = doc.text("reason"), doc.text("domain")
	// Any names may be there, so two that fold to the same are no fault.
	s := jsonrpc.NewReplyScanner(doc.get("metadata"))
	defer s.Release()
	if !s.OpenObject() {
		return true
	}
	for s.Next() {
		name, raw := string(s.Name()), s.Value()
		value, isText := jsonrpc.Unquote(raw)
		if !isText {
			value = string(raw) // should be a string: its text is better than nothing
		}
		e.Metadata = append(e.Metadata, name, value)
	}
	return true
}

// arrayElements returns the elements of an array, false for anything else.
func arrayElements(raw []byte) ([][]byte, bool) {
	s := jsonrpc.NewReplyScanner(raw)
	defer s.Release()
	if !s.OpenArray() {
		return nil, false
	}
	elements := [][]byte{}
	for s.More() {
		elements = append(elements, s.Value())
	}
	return elements, s.Err() == nil
}

func allDetails(elements [][]byte) bool {
	for _, element := range elements {
		if typeOf(element) == "" {
			return false
		}
	}
	return len(elements) > 0
}

// typeOf returns the @type of an object, "" for anything else.
func typeOf(raw []byte) string {
	if len(raw) == 0 || raw[0] != '{' {
		return ""
	}
	doc, err := parseDocument(raw)
	if err != nil {
		return ""
	}
	return doc.text("@type")
}

// wrapStruct returns a detail that carries a value. A Struct holds members, so what is no
// object becomes the member value of one.
func wrapStruct(value []byte) []byte {
	dst := append([]byte(nil), `{"@type":"`+typeStruct+`","value":`...)
	if value[0] == '{' {
		dst = append(dst, value...)
	} else {
		dst = append(dst, `{"value":`...)
		dst = append(append(dst, value...), '}')
	}
	return append(dst, '}')
}

// info returns reason, domain and metadata of the ErrorInfo that goes with the error.
// Over REST and gRPC there is always one, since it is what tells errors apart there; a
// code that no row has goes into its metadata then.
func (e *Error) info(keepCode bool) (reason, domain string, metadata []string) {
	row, known := e.row()
	reason, domain, metadata = e.Reason, e.Domain, e.Metadata
	if reason == "" {
		if !known {
			row = mustRow(jsonrpc.CodeInternal)
			if keepCode && e.Code != 0 {
				metadata = append(slices.Clip(metadata), "code", strconv.FormatInt(e.Code, 10))
			}
		}
		reason = row.Reason
	}
	if domain == "" {
		if domain = row.Domain; domain == "" {
			domain = ProtocolDomain
		}
	}
	return reason, domain, metadata
}

func (e *Error) appendInfo(dst []byte, keepCode bool) []byte {
	reason, domain, metadata := e.info(keepCode)
	dst = append(dst, `{"@type":"`+typeErrorInfo+`","reason":`...)
	dst = jsonrpc.AppendString(dst, reason)
	dst = append(dst, `,"domain":`...)
	dst = jsonrpc.AppendString(dst, domain)
	if len(metadata) > 1 {
		dst = append(dst, `,"metadata":{`...)
		for i := 0; i+1 < len(metadata); i += 2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = jsonrpc.AppendString(dst, metadata[i])
			dst = append(dst, ':')
			dst = jsonrpc.AppendString(dst, metadata[i+1])
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// JSONDetails returns the details that go with the error in version 1.0, as JSON with
// their @type, an ErrorInfo first. Over gRPC in version 0.3 there is none when the status
// is another one than in 1.0: readers of 1.0 hold the reason against the status.
func (e *Error) JSONDetails(v Version) [][]byte {
	var details [][]byte
	if row, known := e.row(); v == V10 || !known || row.GRPC == e.RPCStatus(v) {
		details = append(details, e.appendInfo(nil, true))
	}
	return append(details, e.otherDetails()...)
}

// otherDetails returns the details other than the ErrorInfo, data of version 0.3 being one.
func (e *Error) otherDetails() [][]byte {
	if e.Data == nil {
		return e.Details
	}
	return append(slices.Clip(e.Details), wrapStruct(e.Data))
}

// appendData03 appends what version 0.3 has as data: what came as data, else the
// ErrorInfo if it is all there is, else all details. An error that never had any of it
// has no data.
func (e *Error) appendData03(dst []byte, prefix string) []byte {
	switch {
	case e.Data != nil:
		return append(append(dst, prefix...), e.Data...)
	case len(e.Details) > 0:
		return e.appendDetails(append(dst, prefix...), false)
	case e.Reason != "" || len(e.Metadata) > 0:
		return e.appendInfo(append(dst, prefix...), false)
	}
	return dst
}

func (e *Error) appendDetails(dst []byte, keepCode bool) []byte {
	details := e.otherDetails()
	if _, known := e.row(); known || keepCode || e.Reason != "" {
		details = append([][]byte{e.appendInfo(nil, keepCode)}, details...)
	}
	return append(dst, array(details)...)
}

// AppendJSONRPC appends the error as a JSON-RPC response under an id, nil meaning null.
func (e *Error) AppendJSONRPC(dst, id []byte, v Version) []byte {
	var data []byte
	if v == V03 {
		data = e.appendData03(nil, "")
	} else {
		data = e.appendDetails(nil, false)
		if string(data) == "[]" {
			data = nil
		}
	}
	return jsonrpc.AppendError(dst, id, &jsonrpc.Error{Code: int(e.codeIn(v)), Message: e.Message, Data: data})
}

// AppendREST appends the error as the body of a reply over REST, or of the last event of
// a stream: in 1.0 the JSON of google.rpc.Status, in 0.3 the error of JSON-RPC bare.
func (e *Error) AppendREST(dst []byte, v Version) []byte {
	if v == V03 {
		dst = append(dst, `{"code":`...)
		dst = strconv.AppendInt(dst, e.codeIn(v), 10)
		dst = append(dst, `,"message":`...)
		dst = jsonrpc.AppendString(dst, e.Message)
		return append(e.appendData03(dst, `,"data":`), '}')
	}
	dst = append(dst, `{"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(e.RESTStatus(v)), 10)
	dst = append(dst, `,"status":"`...)
	dst = append(dst, GRPCName(e.RPCStatus(v))...)
	dst = append(dst, `","message":`...)
	dst = jsonrpc.AppendString(dst, e.Message)
	dst = append(dst, `,"details":`...)
	return append(e.appendDetails(dst, true), "}}"...)
}

// ErrorFromREST reads the body of a reply over REST that is no success: status is that of
// the reply, 0 for an event of a stream. It takes every shape that agents use, whatever
// their version: {"error":{...}}, {"code","message"}, {"message"} and {"detail"}. The
// second result is false when the body is none of these; the error then has a fixed text
// and what the status means.
func ErrorFromREST(op Operation, v Version, status int, body []byte) (Error, bool) {
	e := Error{}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	ok := isObject(body) && e.readBody(op, v, status, body)
	if ok {
		return e, true
	}
	e = Error{Message: "the agent answered with HTTP status " + strconv.Itoa(status) + " and no error that can be read"}
	if status == 0 {
		e.Message = "the agent ended its stream with an error that cannot be read"
	}
	e.settle(op, status, -1, false)
	return e, false
}

// isObject reports whether a reply is one well-formed object that is not nested too deep.
func isObject(body []byte) bool {
	if len(body) == 0 || body[0] != '{' || jsonrpc.CheckDepth(body, jsonrpc.MaxDepth) >= 0 {
		return false
	}
	s := jsonrpc.NewReplyScanner(body)
	defer s.Release()
	s.Value()
	return s.End() == nil
}

// readBody reads an error body, false when there is nothing in it.
func (e *Error) readBody(op Operation, v Version, status int, body []byte) bool {
	doc, err := parseDocument(body)
	if err != nil {
		return false
	}
	framework := false
	switch inner := doc.get("error"); {
	case len(inner) > 0 && inner[0] == '{':
		if doc, err = parseDocument(inner); err != nil {
			return false
		}
	case len(inner) > 0 && inner[0] == '"':
		e.Message = plainText(inner)
	case doc.get("detail") != nil && doc.get("message") == nil:
		// Web frameworks answer so before an agent sees the call.
		framework = true
		e.Message = plainText(doc.get("detail"))
		if e.Message == "" {
			e.Data = doc.get("detail")
			e.Message = "the agent refused the call"
		}
	}
	if text := doc.get("message"); text != nil {
		e.Message = plainText(text)
	}
	code, hasCode := int64(0), false
	if raw := doc.get("code"); raw != nil {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		code, hasCode = n, err == nil
	}
	if details := doc.elements("details"); len(details) > 0 {
		e.readDetails(details)
	}
	e.readData(v, doc.get("data"))
	if e.Message == "" && !hasCode && e.Reason == "" {
		return false
	}

	rpc := -1
	if n, ok := ParseGRPCName(doc.text("status")); ok {
		rpc = n
	}
	switch {
	case !hasCode:
	case code < 0:
		e.Code = code // of JSON-RPC, as 0.3 has it
	case code > GRPCOK && code <= GRPCUnauthenticated && rpc < 0:
		rpc = int(code)
	case code >= 400 && code < 600 && status < 400:
		status = int(code)
	}
	e.settle(op, status, rpc, framework)
	return true
}

// settle decides what the error is, in this order: reason, code, status. Statuses mean
// different things in the patches of version 1.0, reasons never do.
func (e *Error) settle(op Operation, status, rpc int, framework bool) {
	if row, ok := LookupReason(e.Reason, e.Domain); ok && (e.Code == 0 || e.Code == row.Code) {
		if e.Code = row.Code; row.Reason == jsonrpc.ReasonInternal {
			e.takeCode()
		}
		return
	}
	if e.Code != 0 {
		if _, known := LookupCode(e.Code); !known {
			e.keepStatus(status, rpc)
		}
		return
	}
	row := e.fallback(op, status, rpc, framework)
	e.Code = row.Code
	if e.Reason == "" {
		if first, _ := LookupCode(row.Code); first.Reason != row.Reason {
			e.Reason, e.Domain = row.Reason, row.Domain // the code alone would be another row
		}
		return
	}
	// The reason is one that the table does not have, so the status is all that tells.
	e.keepStatus(status, rpc)
}

// fallback returns what the statuses mean.
func (e *Error) fallback(op Operation, status, rpc int, framework bool) Row {
	if e.Domain == GatewayDomain {
		if row, ok := gatewayRow(status, rpc); ok {
			return row
		}
	}
	switch {
	case framework && status == 404:
		return mustRow(jsonrpc.CodeMethodNotFound) // there is no such path
	case rpc > GRPCOK && (status < 400 || status == 400 || status == 500):
		return FallbackGRPC(op, rpc)
	}
	return FallbackHTTP(op, status)
}

// gatewayRow returns the row of the gateway's own errors that has a status.
func gatewayRow(status, rpc int) (Row, bool) {
	for _, row := range rows {
		if row.Domain == GatewayDomain && (row.HTTP == status || status < 400 && row.GRPC == rpc) {
			return row, true
		}
	}
	return Row{}, false
}

// keepStatus keeps the status of an error that no row stands for.
func (e *Error) keepStatus(status, rpc int) {
	if status >= 400 {
		e.HTTPStatus = status
	}
	if rpc > GRPCOK {
		e.GRPCStatus = rpc
	}
}

// takeCode undoes what info does with codes that no row has.
func (e *Error) takeCode() {
	n := len(e.Metadata)
	if n < 2 || e.Metadata[n-2] != "code" {
		return
	}
	code, err := strconv.ParseInt(e.Metadata[n-1], 10, 64)
	if err != nil || code >= 0 {
		return
	}
	if _, known := LookupCode(code); known {
		return
	}
	e.Code, e.Reason, e.Domain, e.Metadata = code, "", "", e.Metadata[:n-2]
}

// plainText returns what a JSON string stands for, "" for anything else. Halves of
// surrogate pairs are replaced: nothing is decided on a text for people.
func plainText(raw []byte) string {
	text, ok := jsonrpc.Unquote(raw)
	if !ok {
		return strings.ToValidUTF8(text, "\ufffd")
	}
	return text
}

// ErrorFromGRPC reads the status that an agent answered over gRPC. Details are those of
// the status as JSON with their @type. In version 0.3 the text begins with the name of
// the error, which is taken off.
func ErrorFromGRPC(op Operation, v Version, status int, message string, details [][]byte) Error {
	e := Error{Message: message}
	e.readDetails(details)
	if v == V03 {
		if row, text, ok := cutName(message); ok {
			e.Code, e.Message = row.Code, text
		}
		e.data03()
	}
	if e.Message == "" {
		e.Message = "the agent answered with gRPC status " + GRPCName(status)
	}
	e.settle(op, 0, status, false)
	return e
}

// data03 makes the one Struct that a status carries the data of version 0.3, as agents of
// that version have it.
func (e *Error) data03() {
	if len(e.Details) != 1 || typeOf(e.Details[0]) != typeStruct {
		return
	}
	doc, err := parseDocument(e.Details[0])
	if err != nil || doc.get("value") == nil {
		return
	}
	e.Data, e.Details = doc.get("value"), nil
}

// cutName takes the name of an error off the text that it begins.
func cutName(message string) (Row, string, bool) {
	name, text, ok := strings.Cut(message, ":")
	if !ok || name == "" {
		return Row{}, message, false
	}
	for _, row := range rows {
		if row.Name03 == name {
			return row, strings.TrimPrefix(text, " "), true
		}
	}
	return Row{}, message, false
}

// RPCMessage returns the text that goes with the error over gRPC. In version 0.3 it
// begins with the name of the error, which is what its clients tell errors by.
func (e *Error) RPCMessage(v Version) string {
	if v != V03 {
		return e.Message
	}
	row, known := LookupCode(e.codeIn(v))
	if !known || row.Name03 == "" {
		return e.Message
	}
	if _, _, named := cutName(e.Message); named {
		return e.Message
	}
	return row.Name03 + ": " + e.Message
}
