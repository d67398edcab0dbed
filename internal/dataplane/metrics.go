package dataplane

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the data plane's instruments. Their labels are bounded sets: no agent,
// team or caller is one. A nil *Metrics counts nothing.
type Metrics struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	first    prometheus.Histogram
	events   prometheus.Counter
	streams  prometheus.Gauge
	inFlight prometheus.Gauge
}

// NewMetrics makes the instruments and registers them.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalbox_calls_total", Help: "Calls that ended, by operation, dialect, outcome and reason of refusal.",
		}, []string{"method", "dialect", "outcome", "reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "signalbox_call_duration_seconds", Help: "Time from the first byte of a call to its end.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 16),
		}, []string{"method", "outcome"}),
		first: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "signalbox_upstream_first_byte_seconds", Help: "Time from the first byte of a call to the first byte of the agent's reply.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 16),
		}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signalbox_stream_events_total", Help: "Stream events passed on.",
		}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signalbox_open_streams", Help: "Streams that are open now.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signalbox_upstream_calls_in_flight", Help: "Calls that agents are working on now, streams included.",
		}),
	}
	for _, c := range []prometheus.Collector{m.calls, m.duration, m.first, m.events, m.streams, m.inFlight} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) called(c *call) {
	if m == nil {
		return
	}
	outcome, reason := string(c.closing.Outcome), ""
	if c.closing.Error != nil {
		reason = c.closing.Error.Reason
	}
	m.calls.WithLabelValues(c.opening.Method, c.opening.Dialect, outcome, reason).Inc()
	m.duration.WithLabelValues(c.opening.Method, outcome).Observe(c.closing.Duration.Seconds())
	if c.closing.FirstByte > 0 {
		m.first.Observe(c.closing.FirstByte.Seconds())
	}
	if c.closing.StreamEvents > 0 {
		m.events.Add(float64(c.closing.StreamEvents))
	}
}

func (m *Metrics) upstream(delta float64) {
	if m != nil {
		m.inFlight.Add(delta)
	}
}

func (m *Metrics) stream(delta float64) {
	if m != nil {
		m.streams.Add(delta)
	}
}
