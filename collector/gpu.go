package collector

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/genai-exporter/genai-exporter/internal/nvml"
)

// GPUSource samples GPUs in the background: nvml.Driver or nvml.Player.
type GPUSource interface {
	Run(ctx context.Context) error
	Snapshot() nvml.Snapshot
}

// GPU publishes what a GPUSource knows.
type GPU struct {
	source GPUSource
	node   string
}

// NewGPU makes the GPU collector; node is the label value of genai_gpu_info.
func NewGPU(source GPUSource, node string) *GPU { return &GPU{source: source, node: node} }

const (
	perGPU     = "the GPUs of the machine"
	fromDriver = "the exporter's own watch over the driver"
)

var (
	gpuDriverUp = Family{
		Name: "genai_gpu_driver_up", Type: Gauge,
		Help:   "Whether the GPU driver answers: 1 yes, 0 there is none or it does not; the exporter's log says why.",
		Origin: fromDriver,
	}
	gpuDevices = Family{
		Name: "genai_gpu_devices", Type: Gauge,
		Help:   "How many GPUs the driver counted last; absent while it does not answer.",
		Origin: "nvmlDeviceGetCount_v2",
	}
	gpuWorkerRestarts = Family{
		Name: "genai_gpu_worker_restarts_total", Type: Counter,
		Help:   "How often the process that asks the driver ended unasked or was replaced because it hung; planned replacements, to look at the GPUs anew, are not counted.",
		Origin: fromDriver,
	}
	gpuInfo = Family{
		Name: "genai_gpu_info", Type: Gauge,
		Labels: []string{"uuid", "gpu", "node", "name", "pci_bus_id", "driver_version"},
		Help:   "A constant 1 with the identity of the GPU; gpu is the driver's index, which may move when another GPU is lost.",
		Bound:  perGPU, Origin: "nvmlDeviceGetUUID, nvmlDeviceGetName, nvmlDeviceGetPciInfo_v3, nvmlSystemGetDriverVersion",
	}
	gpuState = Family{
		Name: "genai_gpu_state", Type: Gauge, Labels: []string{"uuid", "state"},
		Help:  "How the GPU is: 1 for the present state, 0 for the others; in any state but ok it has no readings.",
		Bound: perGPU + " times the states ok, lost, reset_required, unavailable, stale, wedged", Origin: "NVML return codes and the age of the last sample",
	}
	gpuLastSample = Family{
		Name: "genai_gpu_last_sample_timestamp_seconds", Type: Gauge, Labels: []string{"uuid"},
		Help:  "When the GPU was last sampled, in seconds since the epoch; absent if it never was. About one sample is missed every five minutes while another GPU is not well and the driver is opened anew.",
		Bound: perGPU, Origin: "the clock of the exporter",
	}
)

// gpuField pairs a field of a reading with its family; more are the values of
// the labels after uuid.
type gpuField struct {
	field  nvml.Field
	family Family
	more   []string
}

// gpuFields is every value of a GPU, in the order of a scrape.
func gpuFields() []gpuField {
	clock := perUUID("genai_gpu_clock_hertz", "The present clock in hertz (driver: MHz).", "nvmlDeviceGetClockInfo", "clock")
	clock.Bound += " times graphics, sm, memory, video"
	core := perUUID("genai_gpu_temperature_celsius", "The temperature of the sensor in degrees Celsius.", "nvmlDeviceGetTemperature", "sensor")
	core.Bound += " times core"
	const util, mem = "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo_v2"
	energy := perUUID("genai_gpu_energy_joules_total", "Energy used since the driver was loaded, in joules (driver: millijoules).", "nvmlDeviceGetTotalEnergyConsumption")
	energy.Type = Counter
	return []gpuField{
		{nvml.Utilization, perUUID("genai_gpu_utilization_ratio", "Share of the driver's last sample period in which a kernel ran, 0 to 1 (driver: percent).", util), nil},
		{nvml.MemoryUtilization, perUUID("genai_gpu_memory_utilization_ratio", "Share of the driver's last sample period in which memory was read or written, 0 to 1; not how full it is (driver: percent).", util), nil},
		{nvml.MemoryUsed, perUUID("genai_gpu_memory_used_bytes", "Memory in use, in bytes; drivers before 510 count reserved memory here.", mem), nil},
		{nvml.MemoryFree, perUUID("genai_gpu_memory_free_bytes", "Memory not in use, in bytes.", mem), nil},
		{nvml.MemoryReserved, perUUID("genai_gpu_memory_reserved_bytes", "Memory kept by the driver and firmware, in bytes; absent with drivers before 510.", mem), nil},
		{nvml.MemoryTotal, perUUID("genai_gpu_memory_total_bytes", "Memory of the GPU, in bytes.", mem), nil},
		{nvml.Temperature, core, []string{"core"}},
		{nvml.SlowdownTemperature, perUUID("genai_gpu_temperature_slowdown_celsius", "Core temperature at which the GPU slows itself down, in degrees Celsius; absent where it only gives a margin.", "nvmlDeviceGetTemperatureThreshold"), nil},
		{nvml.Power, perUUID("genai_gpu_power_watts", "Power drawn, in watts (driver: milliwatts).", "nvmlDeviceGetPowerUsage"), nil},
		{nvml.PowerLimit, perUUID("genai_gpu_power_limit_watts", "Power limit in force, in watts (driver: milliwatts).", "nvmlDeviceGetEnforcedPowerLimit or nvmlDeviceGetPowerManagementLimit"), nil},
		{nvml.Energy, energy, nil},
		{nvml.GraphicsClock, clock, []string{"graphics"}},
		{nvml.SMClock, clock, []string{"sm"}},
		{nvml.MemoryClock, clock, []string{"memory"}},
		{nvml.VideoClock, clock, []string{"video"}},
	}
}

func perUUID(name, help, origin string, more ...string) Family {
	return Family{Name: name, Type: Gauge, Labels: append([]string{"uuid"}, more...), Help: help, Bound: perGPU, Origin: origin}
}

func gpuFamilies() []Family {
	all := []Family{gpuDriverUp, gpuDevices, gpuWorkerRestarts, gpuInfo, gpuState, gpuLastSample}
	for _, f := range gpuFields() {
		if all[len(all)-1].Name != f.family.Name { // the clocks are one family
			all = append(all, f.family)
		}
	}
	return all
}

// Name is gpu.
func (*GPU) Name() string { return "gpu" }

// Run samples until ctx ends.
func (g *GPU) Run(ctx context.Context) error { return g.source.Run(ctx) }

// Collect sends the last good state; it never asks a GPU.
func (g *GPU) Collect(_ context.Context, ch chan<- prometheus.Metric) error {
	s := g.source.Snapshot()
	up := 0.0
	if s.DriverUp {
		up = 1
		ch <- gpuDevices.Sample(float64(s.Devices))
	}
	ch <- gpuDriverUp.Sample(up)
	ch <- gpuWorkerRestarts.Sample(float64(s.Restarts))
	fields := gpuFields()
	for _, r := range s.GPUs {
		ch <- gpuInfo.Sample(1, r.UUID, strconv.Itoa(r.Index), g.node, r.Name, r.PCIBusID, r.DriverVersion)
		for _, state := range nvml.States() {
			present := 0.0
			if r.State == state {
				present = 1
			}
			ch <- gpuState.Sample(present, r.UUID, string(state))
		}
		if !r.At.IsZero() {
			ch <- gpuLastSample.Sample(float64(r.At.UnixMilli())/1e3, r.UUID)
		}
		for _, f := range fields {
			if v, said := r.Values[f.field]; said {
				ch <- f.family.Sample(v, append([]string{r.UUID}, f.more...)...)
			}
		}
	}
	return nil
}

// State says in a line how the driver and its GPUs are.
func (g *GPU) State() string {
	s := g.source.Snapshot()
	count := map[nvml.State]int{}
	for _, r := range s.GPUs {
		count[r.State]++
	}
	var parts []string
	for _, state := range nvml.States() {
		if n := count[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	gpus := "no GPU"
	if len(parts) > 0 {
		gpus = "GPUs: " + strings.Join(parts, ", ")
	}
	if s.DriverUp {
		return gpus
	}
	return "driver down: " + s.Reason + "; " + gpus
}
