package otlpmetrics

import (
	"context"
	"time"

	colmetricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"github.com/saker-security/saker/outputs/internal/hostx"
	"github.com/saker-security/saker/outputs/internal/otlpx"
)

// The names of the counters, as Falcosidekick has them.
const (
	ruleMatches = "falcosecurity_falco_rules_matches_total"
	hostInputs  = "falcosecurity_falcosidekick_inputs"
	hostOutputs = "falcosecurity_falcosidekick_outputs"
	scope       = "falcosecurity.falco.otlpmetrics.meter"
)

// metric is a counter with its points.
type metric struct {
	name   string
	points []*metricspb.NumberDataPoint
}

func point(attributes []*commonpb.KeyValue, value int64, since, now time.Time) *metricspb.NumberDataPoint {
	return &metricspb.NumberDataPoint{
		Attributes:        attributes,
		StartTimeUnixNano: otlpx.UnixNano(since), TimeUnixNano: otlpx.UnixNano(now),
		Value: &metricspb.NumberDataPoint_AsInt{AsInt: value},
	}
}

// rules is the counter of events.
func (s *sender) rules(all []series, now time.Time) *metric {
	m := &metric{name: ruleMatches}
	for _, one := range all {
		value, since := one.value+one.more, s.counts.began
		if s.delta {
			value, since = one.more, s.counts.sent
		}
		m.points = append(m.points, point(one.attributes, value, since, now))
	}
	return m
}

// own are the counters of the forwarder. Sent is to be called once they are sent.
func (s *sender) own(now time.Time) (metrics []*metric, sent func(), err error) {
	if s.host == nil {
		return nil, func() {}, nil
	}
	counted, err := hostx.Read(s.host)
	if err != nil {
		return nil, nil, err
	}
	in, out, since := counted.Inputs, counted.Outputs, counted.Began
	if s.delta {
		in, out, since = s.inputs.Since(in), s.outputs.Since(out), s.hostSent
	}
	if since.IsZero() {
		since = s.counts.began
	}
	metrics = []*metric{
		ownMetric(hostInputs, "source", in, since, now),
		ownMetric(hostOutputs, "destination", out, since, now),
	}
	return metrics, func() {
		s.inputs.Sent(counted.Inputs)
		s.outputs.Sent(counted.Outputs)
		s.hostSent = now
	}, nil
}

func ownMetric(name, label string, all []hostx.Series, since, now time.Time) *metric {
	m := &metric{name: name}
	for _, one := range all {
		if one.Value > 0 {
			attributes := []*commonpb.KeyValue{otlpx.String(label, one.First), otlpx.String("status", one.Second)}
			m.points = append(m.points, point(attributes, one.Value, since, now))
		}
	}
	return m
}

// export sends metrics, in several requests when they have many points. It returns the
// first error.
func (s *sender) export(ctx context.Context, metrics []*metric) error {
	var request []*metricspb.Metric
	n := 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		err := s.exportOne(ctx, request, n)
		request, n = nil, 0
		return err
	}
	for _, m := range metrics {
		for points := m.points; len(points) > 0; {
			if n == maxPoints {
				if err := flush(); err != nil {
					return err
				}
			}
			some := min(len(points), maxPoints-n)
			request, n = append(request, s.sum(m.name, points[:some])), n+some
			points = points[some:]
		}
	}
	return flush()
}

func (s *sender) sum(name string, points []*metricspb.NumberDataPoint) *metricspb.Metric {
	temporality := metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	if s.delta {
		temporality = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	}
	return &metricspb.Metric{Name: name, Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{
		DataPoints: points, AggregationTemporality: temporality, IsMonotonic: true,
	}}}
}

func (s *sender) exportOne(ctx context.Context, metrics []*metricspb.Metric, points int) error {
	request := &colmetricspb.ExportMetricsServiceRequest{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource:  s.client.Resource(),
		SchemaUrl: otlpx.SchemaURL,
		ScopeMetrics: []*metricspb.ScopeMetrics{{
			Scope:   &commonpb.InstrumentationScope{Name: scope},
			Metrics: metrics,
		}},
	}}}
	var answer colmetricspb.ExportMetricsServiceResponse
	if err := s.client.Export(ctx, request, &answer); err != nil {
		return err
	}
	partial := answer.GetPartialSuccess()
	return s.client.Partial(partial.GetRejectedDataPoints(), partial.GetErrorMessage(), points, "data points")
}
