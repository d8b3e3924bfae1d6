// Package nvml feeds GPU readings from the NVIDIA driver, or from a replayed
// time line, to whoever asks for a Snapshot. It knows no metrics.
//
// The driver's library runs in a worker process: a missing symbol, a wedged
// call or a driver upgrade ends or blocks that process and never the caller.
// ServeWorker is the worker's side, Driver the parent's, and Replay stands in
// for both with the same Snapshot.
//
// A GPU whose call does not return holds one goroutine of the worker and is
// stale until the call returns: nothing else is asked of it, and the worker is
// only replaced when no GPU is read at all. A GPU that answers with an error
// is looked at anew by a new worker every five minutes; the others then miss
// about one sample, and their last one is served meanwhile.
package nvml

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Field names one value of a GPU, in base units. A replay file and a worker's
// frame use the same names.
type Field string

// The fields. A GPU that does not say one has no key for it.
const (
	// Utilization is the share of the driver's last sample period (1/6 to 1 s)
	// in which a kernel ran, 0 to 1: nvmlDeviceGetUtilizationRates, gpu.
	Utilization Field = "utilization_ratio"
	// MemoryUtilization is the share of that period in which memory was read
	// or written, 0 to 1: nvmlDeviceGetUtilizationRates, memory.
	MemoryUtilization Field = "memory_utilization_ratio"
	// MemoryUsed, MemoryFree, MemoryReserved and MemoryTotal are bytes:
	// nvmlDeviceGetMemoryInfo_v2. A driver before 510 has only the first
	// version, which counts reserved memory as used.
	MemoryUsed     Field = "memory_used_bytes"
	MemoryFree     Field = "memory_free_bytes"
	MemoryReserved Field = "memory_reserved_bytes"
	MemoryTotal    Field = "memory_total_bytes"
	// Temperature is the core's, in degrees Celsius, at most 200:
	// nvmlDeviceGetTemperature.
	Temperature Field = "temperature_celsius"
	// SlowdownTemperature is where the card begins to slow down, in degrees
	// Celsius: nvmlDeviceGetTemperatureThreshold. Newer cards only give a
	// margin instead and then lack this field.
	SlowdownTemperature Field = "temperature_slowdown_celsius"
	// Power is what the card draws, in watts: nvmlDeviceGetPowerUsage.
	Power Field = "power_watts"
	// PowerLimit is the limit in force, in watts:
	// nvmlDeviceGetEnforcedPowerLimit, else nvmlDeviceGetPowerManagementLimit.
	PowerLimit Field = "power_limit_watts"
	// Energy is joules since the driver was loaded; a driver reload starts it
	// again: nvmlDeviceGetTotalEnergyConsumption, Volta and newer.
	Energy Field = "energy_joules"
	// GraphicsClock and its siblings are hertz: nvmlDeviceGetClockInfo.
	GraphicsClock Field = "graphics_clock_hertz"
	SMClock       Field = "sm_clock_hertz"
	MemoryClock   Field = "memory_clock_hertz"
	VideoClock    Field = "video_clock_hertz"
)

// Fields lists every field.
func Fields() []Field {
	return []Field{
		Utilization, MemoryUtilization, MemoryUsed, MemoryFree, MemoryReserved, MemoryTotal,
		Temperature, SlowdownTemperature, Power, PowerLimit, Energy,
		GraphicsClock, SMClock, MemoryClock, VideoClock,
	}
}

// maxTemperature is above any real reading: drivers report garbage beyond it.
const maxTemperature = 200

// plausible tells whether v can be a reading of f; an implausible one counts
// as not said.
func (f Field) plausible(v float64) bool {
	switch {
	case !(v >= 0): // NaN too
		return false
	case strings.HasSuffix(string(f), "_ratio"):
		return v <= 1
	case strings.HasSuffix(string(f), "_celsius"):
		return v <= maxTemperature
	}
	return v <= 1e18
}

// State is how a GPU is, one of States.
type State string

// The states a GPU can be in.
const (
	// OK answers.
	OK State = "ok"
	// Lost fell off the bus, or the driver no longer lists it.
	Lost State = "lost"
	// ResetRequired answers nothing until it is reset.
	ResetRequired State = "reset_required"
	// Unavailable answers every question with an error.
	Unavailable State = "unavailable"
	// Stale has not been sampled lately: the worker or the GPU hangs.
	Stale State = "stale"
	// Wedged is stale and no new worker is started, because earlier ones sit
	// in driver calls that cannot be interrupted.
	Wedged State = "wedged"
)

// States lists every state.
func States() []State { return []State{OK, Lost, ResetRequired, Unavailable, Stale, Wedged} }

// Identity is what stays the same while the driver runs. Only the UUID tells
// GPUs apart: an index moves when a GPU is lost.
type Identity struct {
	UUID          string `json:"uuid"`
	Index         int    `json:"index"`
	Name          string `json:"name,omitempty"`
	PCIBusID      string `json:"pci_bus_id,omitempty"`
	DriverVersion string `json:"driver_version,omitempty"`
}

// Reading is one GPU at one moment.
type Reading struct {
	Identity
	State State `json:"state"`
	// At is when the GPU was last sampled in state OK; zero if it never was.
	At time.Time `json:"at"`
	// Values has the fields the GPU gave; nil unless State is OK.
	Values map[Field]float64 `json:"values,omitempty"`
}

// Snapshot is all that is known at one moment.
type Snapshot struct {
	// DriverUp says that the driver answers.
	DriverUp bool
	// Reason says why it does not; empty when it does.
	Reason string
	// Devices is how many GPUs the driver counted last.
	Devices int
	// Restarts counts workers that ended or had to be replaced.
	Restarts uint64
	// GPUs are all GPUs seen since the start, ordered by UUID. One that is
	// gone keeps its identity and says so in its State.
	GPUs []Reading
}

// StaleAfter is the age from which a reading taken every interval is no longer
// served: three intervals, at least ten seconds.
func StaleAfter(interval time.Duration) time.Duration { return max(3*interval, 10*time.Second) }

// aged is r as seen age after it was taken.
func (r Reading) aged(age, limit time.Duration) Reading {
	if r.State == OK && age > limit {
		r.State = Stale
	}
	if r.State != OK {
		r.Values = nil
	}
	return r
}

// clone keeps the caller of a Snapshot from sharing our map.
func (r Reading) clone() Reading {
	r.Values = maps.Clone(r.Values)
	return r
}

func sortByUUID(rs []Reading) {
	slices.SortFunc(rs, func(a, b Reading) int { return strings.Compare(a.UUID, b.UUID) })
}
