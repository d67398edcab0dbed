package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/signalbox-dev/signalbox/internal/audit"
	"github.com/signalbox-dev/signalbox/internal/audit/spool"
)

// recordMetrics are the instruments of the record.
type recordMetrics struct {
	recorded, unrecorded *prometheus.CounterVec
	summarized, events   prometheus.Counter
	shipping             prometheus.Histogram
	failures             prometheus.Counter
}

var (
	_ audit.RecorderMetrics = (*recordMetrics)(nil)
	_ audit.ShipperMetrics  = (*recordMetrics)(nil)
)

func newRecordMetrics(r prometheus.Registerer, s *spool.Spool) (*recordMetrics, error) {
	m := &recordMetrics{
		recorded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalbox_record_entries_total", Help: "Entries that the local record took, by kind.",
		}, []string{"kind"}),
		unrecorded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalbox_record_refused_entries_total", Help: "Entries that the local record had no room for, by kind. Must stay 0.",
		}, []string{"kind"}),
		summarized: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signalbox_record_summarized_refusals_total", Help: "Refusals that were counted into a summary instead of recorded singly.",
		}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signalbox_record_events_total", Help: "Events that reached the database.",
		}),
		shipping: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "signalbox_record_ship_seconds", Help: "Time to bring a batch of entries into the database.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signalbox_record_ship_failures_total", Help: "Batches that did not reach the database and will be tried again.",
		}),
	}
	gauge := func(name, help string, value func(spool.Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(s.Stats()) })
	}
	for _, c := range []prometheus.Collector{
		m.recorded, m.unrecorded, m.summarized, m.events, m.shipping, m.failures,
		gauge("signalbox_spool_used_bytes", "Room that entries take which are not in the database yet.",
			func(s spool.Stats) float64 { return float64(s.UsedBytes) }),
		gauge("signalbox_spool_max_bytes", "Room that there is for such entries; new calls are refused at 90 % of it.",
			func(s spool.Stats) float64 { return float64(s.MaxBytes) }),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Recorded counts an entry that the spool took.
func (m *recordMetrics) Recorded(k audit.Kind) { m.recorded.WithLabelValues(string(k)).Inc() }

// Unrecorded counts an entry that the spool did not take.
func (m *recordMetrics) Unrecorded(k audit.Kind) { m.unrecorded.WithLabelValues(string(k)).Inc() }

// Summarized counts refusals that a summary stands for.
func (m *recordMetrics) Summarized(n int64) { m.summarized.Add(float64(n)) }

// Shipped counts a batch that reached the database.
func (m *recordMetrics) Shipped(events int, took time.Duration) {
	m.events.Add(float64(events))
	m.shipping.Observe(took.Seconds())
}

// ShipFailed counts a batch that did not reach the database.
func (m *recordMetrics) ShipFailed() { m.failures.Inc() }
