package check

// defect is one wrong edit of one rendered file.
type defect struct{ name, file, old, new string }

func defects() []defect {
	const (
		gpu       = "rules/gpu.yml"
		inference = "rules/inference.yml"
		object    = "deploy/prometheusrule/gpu.yaml"
		routing   = "deploy/alertmanager/alertmanager.yml"
		messages  = "deploy/alertmanager/genai.tmpl"
		overview  = "dashboards/overview.json"
	)
	return []defect{
		{"rule-unknown-metric", gpu, "genai_gpu_utilization_ratio{", "genai_gpu_utilisation_ratio{"},
		{"rule-unknown-record", gpu, "expr: genai:gpu_temperature:celsius >", "expr: genai:gpu_temp:celsius >"},
		{"rule-does-not-parse", gpu, "expr: genai:gpu_temperature:celsius > 80", "expr: genai:gpu_temperature:celsius > > 80"},
		{"rule-unknown-field", gpu, "keep_firing_for: 5m", "keep_fireing_for: 5m"},
		{"rule-by-unknown-label", inference, "sum by (cluster, namespace, model, runtime)", "sum by (cluster, namespace, model_name, runtime)"},
		{"rule-matcher-unknown-label", gpu, `sensor="core"`, `sensors="core"`},
		{"rule-on-unknown-label", gpu, "* on (cluster, instance, uuid)", "* on (cluster, instance, uid)"},
		{"rule-group-left-unknown-label", gpu, "group_left (node, gpu)", "group_left (node, gpu, serial)"},
		{"rule-unaggregated-ratio", inference, "/ on (cluster, namespace, model, runtime) (genai:runtime_requests:rate5m > 0)", "/ genai_inference_requests_total"},
		{"rule-records-too-few-labels", gpu, "max by (cluster, node, gpu) (\n            genai_gpu_utilization_ratio", "max by (cluster, node) (\n                genai_gpu_utilization_ratio"},
		{"alert-annotation-unknown-label", gpu, "on {{ $labels.node }} uses", "on {{ $labels.Hostname }} uses"},
		{"alert-annotation-unknown-function", gpu, "$value | humanizePercentage", "$value | humanisePercentage"},
		{"alert-annotation-newer-function", gpu, "{{ $labels.gpu }} on", "{{ $labels.gpu | urlQueryEscape }} on"},
		{"alert-annotation-broken", gpu, "{{ $labels.gpu }} on", "{{ $labels.gpu on"},
		{"alert-annotation-fails", gpu, "{{ $labels.gpu }} on", "{{ $labels.gpu | humanize }} on"},
		{"object-unknown-field", object, "spec:", "specs:"},
		{"object-unknown-metric", object, "genai_gpu_info{", "genai_gpu_infos{"},
		{"object-wrong-kind", object, "kind: PrometheusRule", "kind: PrometheusRules"},
		{"kustomization-incomplete", "deploy/prometheusrule/kustomization.yaml", "  - gpu.yaml\n", "  - gone.yaml\n"},
		{"routing-unknown-field", routing, "group_wait: 30s", "group_waits: 30s"},
		{"routing-undefined-receiver", routing, "receiver: cost", "receiver: costs"},
		{"routing-old-matchers", routing, "matchers:\n        - severity=\"info\"", "match:\n        severity: info"},
		{"routing-inline-secret", routing, "url_file: /etc/alertmanager/secrets/page_webhook_url", "url: https://chat.example.org/hook/T0KEN"},
		{"routing-alert-to-nobody", routing, "receiver: ticket\n      matchers:\n        - severity=\"warning\"", "receiver: none\n      matchers:\n        - severity=\"warning\""},
		{"routing-missing-template", routing, "- genai.tmpl", "- other.tmpl"},
		{"inhibition-equal-not-demanded", routing, "      - gpu=~\".+\"\n    target", "    target"},
		{"inhibition-equal-not-carried", routing, "equal: [cluster, namespace, model, signal]", "equal: [cluster, namespace, model, pod, signal]"},
		{"inhibition-of-nothing", routing, `signal=~"inference_latency|inference_errors"`, `signal=~"latency"`},
		{"message-broken", messages, `{{ define "genai.text" -}}`, `{{ define "genai.text" -}}{{ if }}`},
		{"message-fails", messages, "{{ .Annotations.description }}", "{{ .Annotations.description.text }}"},
		{"board-unknown-field", overview, `"graphTooltip": 1`, `"graphTooltips": 1`},
		{"board-unknown-metric", overview, `"expr": "genai:gpu_memory_used:ratio`, `"expr": "genai:gpu_memory:ratio`},
		{"board-query-does-not-parse", overview, `"expr": "genai:gpu_memory_used:ratio{`, `"expr": "genai:gpu_memory_used:ratio{{`},
		{"board-unknown-variable", overview, `node=~\"$node\"`, `node=~\"$host\"`},
		{"board-unknown-label", overview, "node {{node}} gpu {{gpu}}", "node {{node}} gpu {{device}}"},
		{"board-plugin-panel", overview, `"type": "timeseries"`, `"type": "grafana-polystat-panel"`},
		{"board-fixed-datasource", overview, "\"uid\": \"${datasource}\"\n      },\n      \"description\"", "\"uid\": \"P123\"\n      },\n      \"description\""},
		{"board-inputs", overview, `"graphTooltip": 1`, `"__inputs": [], "graphTooltip": 1`},
		{"mixin-broken", "mixin/rules.libsonnet", "prometheusRules+::", "prometheusRules+:: ,"},
		{"mixin-unknown-parameter", "mixin/config.libsonnet", "gpu_memory_warning:", "gpu_memory_warn:"},
		{"mixin-unknown-metric", "mixin/rules.libsonnet", "genai_gpu_info{", "genai_gpu_infos{"},
	}
}
