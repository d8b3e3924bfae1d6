//go:build linux && cgo && !nonvml

package nvml

import (
	"errors"
	"fmt"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// defaultLibrary is the name under which every driver installs its library.
const defaultLibrary = "libnvidia-ml.so.1"

// symbols are one question's functions, best first: the binding calls the
// first that the library has. Calling one that it lacks ends the process, so
// nothing is called that was not found here.
type symbols []string

// The functions without which there is nothing to read.
func required() []symbols {
	return []symbols{
		{"nvmlInit_v2", "nvmlInit"},
		{"nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"},
		{"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"},
		{"nvmlDeviceGetUUID"},
	}
}

// The functions of an identity that a GPU can do without.
func describing() (version, name, pci symbols) {
	return symbols{"nvmlSystemGetDriverVersion"}, symbols{"nvmlDeviceGetName"},
		symbols{"nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetPciInfo_v2", "nvmlDeviceGetPciInfo"}
}

// values is what one question answered, in base units.
type values map[Field]float64

// question is one call and the conversion to base units, which happens here
// and nowhere else.
type question struct {
	symbols symbols
	ask     func(dev nvml.Device, v values) nvml.Return
}

// questions are alternatives per row: the first that the library has and the
// GPU supports is asked.
func questions() [][]question {
	return [][]question{
		{{symbols{"nvmlDeviceGetUtilizationRates"}, askUtilization}},
		{{symbols{"nvmlDeviceGetMemoryInfo_v2"}, askMemory}, {symbols{"nvmlDeviceGetMemoryInfo"}, askMemoryV1}},
		{{symbols{"nvmlDeviceGetTemperature"}, askTemperature}},
		{{symbols{"nvmlDeviceGetTemperatureThreshold"}, askSlowdown}},
		{{symbols{"nvmlDeviceGetPowerUsage"}, askPower}},
		{{symbols{"nvmlDeviceGetEnforcedPowerLimit"}, askEnforcedLimit}, {symbols{"nvmlDeviceGetPowerManagementLimit"}, askManagementLimit}},
		{{symbols{"nvmlDeviceGetTotalEnergyConsumption"}, askEnergy}},
		{{symbols{"nvmlDeviceGetClockInfo"}, askClock(GraphicsClock, nvml.CLOCK_GRAPHICS)}},
		{{symbols{"nvmlDeviceGetClockInfo"}, askClock(SMClock, nvml.CLOCK_SM)}},
		{{symbols{"nvmlDeviceGetClockInfo"}, askClock(MemoryClock, nvml.CLOCK_MEM)}},
		{{symbols{"nvmlDeviceGetClockInfo"}, askClock(VideoClock, nvml.CLOCK_VIDEO)}},
	}
}

// The driver's units, to divide or to multiply by.
const (
	percent = 100  // of one
	milli   = 1000 // to one watt or joule
	mega    = 1e6  // hertz
)

func askUtilization(dev nvml.Device, v values) nvml.Return {
	u, ret := dev.GetUtilizationRates()
	v[Utilization], v[MemoryUtilization] = float64(u.Gpu)/percent, float64(u.Memory)/percent
	return ret
}

func askMemory(dev nvml.Device, v values) nvml.Return {
	m, ret := dev.GetMemoryInfo_v2()
	v[MemoryUsed], v[MemoryFree], v[MemoryReserved], v[MemoryTotal] = float64(m.Used), float64(m.Free), float64(m.Reserved), float64(m.Total)
	return ret
}

func askMemoryV1(dev nvml.Device, v values) nvml.Return {
	m, ret := dev.GetMemoryInfo()
	v[MemoryUsed], v[MemoryFree], v[MemoryTotal] = float64(m.Used), float64(m.Free), float64(m.Total)
	return ret
}

func askTemperature(dev nvml.Device, v values) nvml.Return {
	c, ret := dev.GetTemperature(nvml.TEMPERATURE_GPU)
	v[Temperature] = float64(c)
	return ret
}

func askSlowdown(dev nvml.Device, v values) nvml.Return {
	c, ret := dev.GetTemperatureThreshold(nvml.TEMPERATURE_THRESHOLD_SLOWDOWN)
	v[SlowdownTemperature] = float64(c)
	return ret
}

func askPower(dev nvml.Device, v values) nvml.Return {
	mw, ret := dev.GetPowerUsage()
	v[Power] = float64(mw) / milli
	return ret
}

func askEnforcedLimit(dev nvml.Device, v values) nvml.Return {
	mw, ret := dev.GetEnforcedPowerLimit()
	v[PowerLimit] = float64(mw) / milli
	return ret
}

func askManagementLimit(dev nvml.Device, v values) nvml.Return {
	mw, ret := dev.GetPowerManagementLimit()
	v[PowerLimit] = float64(mw) / milli
	return ret
}

func askEnergy(dev nvml.Device, v values) nvml.Return {
	mj, ret := dev.GetTotalEnergyConsumption()
	v[Energy] = float64(mj) / milli
	return ret
}

func askClock(f Field, clock nvml.ClockType) func(nvml.Device, values) nvml.Return {
	return func(dev nvml.Device, v values) nvml.Return {
		mhz, ret := dev.GetClockInfo(clock)
		v[f] = float64(mhz) * mega
		return ret
	}
}

// driver is the opened library.
type driver struct {
	lib       nvml.Interface
	has       func(symbols) bool
	questions [][]question
	release   string
}

// openLibrary loads and initialises the driver's library; an error is a
// *downError. After a failed Init nothing more may be called.
func openLibrary(path string) (library, error) {
	if path == "" {
		path = defaultLibrary
	}
	if err := probe(path); err != nil {
		return nil, err
	}
	lib := nvml.New(nvml.WithLibraryPath(path))
	if ret := lib.Init(); ret != nvml.SUCCESS {
		return nil, &downError{reason: initReason(path, ret)}
	}
	d := &driver{lib: lib, has: func(s symbols) bool {
		for _, name := range s {
			if lib.Extensions().LookupSymbol(name) == nil {
				return true
			}
		}
		return false
	}}
	for _, row := range questions() {
		var have []question
		for _, q := range row {
			if d.has(q.symbols) {
				have = append(have, q)
			}
		}
		d.questions = append(d.questions, have)
	}
	if version, _, _ := describing(); d.has(version) {
		d.release, _ = lib.SystemGetDriverVersion()
	}
	return d, nil
}

// probe opens the library before the binding does: it gives the linker's own
// words when that fails, and Init itself ends the process when it is missing.
func probe(path string) error {
	lib := dl.New(path, dl.RTLD_LAZY|dl.RTLD_GLOBAL)
	if err := lib.Open(); err != nil {
		return &downError{reason: fmt.Sprintf("driver library not loaded: %v (is the NVIDIA driver installed, and in a container mounted?)", err)}
	}
	for _, s := range required() {
		found := false
		for _, name := range s {
			found = found || lib.Lookup(name) == nil
		}
		if !found {
			return &downError{reason: fmt.Sprintf("%s lacks the function %s: it is not a driver library, or one too old", path, s[0])}
		}
	}
	return nil // stays open: the binding opens the same handle again
}

// initReason says what to do about a failed Init.
func initReason(path string, ret nvml.Return) string {
	todo := ""
	switch ret {
	case nvml.ERROR_DRIVER_NOT_LOADED:
		todo = ": the NVIDIA kernel module is not loaded"
	case nvml.ERROR_LIB_RM_VERSION_MISMATCH:
		todo = ": the driver was upgraded under the running kernel module; reload the module or reboot"
	case nvml.ERROR_NO_PERMISSION:
		todo = ": the exporter may not open /dev/nvidiactl"
	}
	return fmt.Sprintf("initialize %s: %s%s", path, codeName(int(ret)), todo)
}

func (d *driver) version() string { return d.release }

func (d *driver) devices() (int, error) {
	n, ret := d.lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return 0, &downError{reason: "count gpus: " + codeName(int(ret))}
	}
	return n, nil
}

func (d *driver) device(index int) (device, Identity, error) {
	dev, ret := d.lib.DeviceGetHandleByIndex(index)
	if ret != nvml.SUCCESS {
		return nil, Identity{}, failure("handle", ret)
	}
	uuid, ret := dev.GetUUID()
	if ret != nvml.SUCCESS {
		return nil, Identity{}, failure("uuid", ret)
	}
	if uuid == "" {
		return nil, Identity{}, failure("uuid", nvml.ERROR_NO_DATA) // the parent takes no reading without one
	}
	id := Identity{UUID: strings.ToValidUTF8(uuid, ""), Index: index, DriverVersion: d.release}
	_, name, pci := describing()
	if d.has(name) {
		if s, ret := dev.GetName(); ret == nvml.SUCCESS {
			id.Name = strings.ToValidUTF8(s, "")
		}
	}
	if d.has(pci) {
		if info, ret := dev.GetPciInfo(); ret == nvml.SUCCESS {
			id.PCIBusID = fmt.Sprintf("%08X:%02X:%02X.0", info.Domain, info.Bus, info.Device)
		}
	}
	return &gpu{dev: dev, open: d.questions, refused: make([]int, len(d.questions))}, id, nil
}

// gpu is one device; refused counts, per row, the alternatives that it does
// not support, so that they are asked only once.
type gpu struct {
	dev     nvml.Device
	open    [][]question
	refused []int
}

func (g *gpu) read() (State, map[Field]float64, error) {
	all := map[Field]float64{}
	var last error
	answered := false
	for i, row := range g.open {
		for g.refused[i] < len(row) {
			q := row[g.refused[i]]
			v := values{}
			ret := q.ask(g.dev, v)
			if ret == nvml.SUCCESS {
				answered = true
				keep(all, v)
				break
			}
			if unsupported(ret) {
				answered = true
				g.refused[i]++
				continue
			}
			last = failure(q.symbols[0], ret)
			if state := stateOf(last); state != Unavailable || errors.As(last, new(*downError)) {
				return state, nil, last
			}
			break
		}
	}
	if !answered && last != nil {
		return Unavailable, nil, last
	}
	return OK, all, nil
}

// keep takes over what can be true.
func keep(all map[Field]float64, v values) {
	for f, x := range v {
		if f.plausible(x) {
			all[f] = x
		}
	}
}

// unsupported are the answers that will not change while the library is open.
func unsupported(ret nvml.Return) bool {
	switch ret {
	case nvml.ERROR_NOT_SUPPORTED, nvml.ERROR_FUNCTION_NOT_FOUND, nvml.ERROR_ARGUMENT_VERSION_MISMATCH,
		nvml.ERROR_DEPRECATED, nvml.ERROR_NO_PERMISSION:
		return true
	}
	return false
}

// failure is what the driver said: about one GPU, or about itself where the
// library has to be opened again.
func failure(call string, ret nvml.Return) error {
	state := Unavailable
	switch ret {
	case nvml.ERROR_UNINITIALIZED, nvml.ERROR_DRIVER_NOT_LOADED, nvml.ERROR_LIB_RM_VERSION_MISMATCH:
		return &downError{reason: call + ": " + codeName(int(ret))}
	case nvml.ERROR_GPU_IS_LOST:
		state = Lost
	case nvml.ERROR_RESET_REQUIRED:
		state = ResetRequired
	}
	return &gpuError{call: call, code: int(ret), state: state}
}
