package stack

// words are the page's own texts; those of checks come from the checklist.
type words struct {
	Title, Item, Value, Normal, State, Since, Trend, Where       string
	OK, NoData, Pending, Breached, Recovering                    string
	Alerts, NoAlerts, Action, Runbook, Severity                  string
	Notices, NoNotices, Receiver, Status, Delivery, Time         string
	Firing, Resolved, Delivered, Failed, Waiting                 string
	SentTo, Heartbeat, NoHeartbeat                               string
	HeartbeatNever, HeartbeatLast, HeartbeatTried                string
	Undelivered, Unsent, SeeNotices, AlertsAre                   string
	Targets, Target, Health, LastScrape, Up, Down, Unknown       string
	Series, More, Pause, Resume, Forms, SkipTo, Limit, NoHistory string
	Critical, Warning, Info, Yes, No                             string
}

func wordsOf(lang string) words {
	if lang == "ko" {
		return korean()
	}
	return english()
}

func english() words {
	return words{
		Title: "Operations checklist", Item: "Item", Value: "Value", Normal: "Normal", State: "State", Since: "Since",
		Trend: "Trend", Where: "Where",
		OK: "ok", NoData: "no data", Pending: "pending", Breached: "breached", Recovering: "recovering",
		Alerts: "Alerts", NoAlerts: "No alert is pending or firing.", Action: "What to do", Runbook: "Runbook", Severity: "Severity",
		Notices: "Notifications", NoNotices: "No notification since the start.", Receiver: "Receiver", Status: "Status", Delivery: "Delivery", Time: "Time",
		Firing: "firing", Resolved: "resolved", Delivered: "delivered", Failed: "not delivered", Waiting: "on its way",
		SentTo: "Alerts are sent to the Alertmanager at", Heartbeat: "Dead man's switch: last sent", NoHeartbeat: "Dead man's switch: not sent yet.",
		HeartbeatNever: "Dead man's switch: never delivered", HeartbeatLast: "Dead man's switch: last delivered %s", HeartbeatTried: "last tried",
		Undelivered: "Notifications not delivered. Receivers whose last delivery failed: %d (%s).",
		Unsent:      "Alerts not delivered. The last sending to the Alertmanager failed.",
		SeeNotices:  "See notifications", AlertsAre: "alerts:",
		Targets: "Targets", Target: "Target", Health: "Health", LastScrape: "Last scrape", Up: "up", Down: "down", Unknown: "not scraped yet",
		Series: "%d series", More: "%d more", Pause: "stop refreshing", Resume: "refresh again", Forms: "The same as", SkipTo: "Skip to the checklist", Limit: "threshold", NoHistory: "no history",
		Critical: "critical", Warning: "warning", Info: "info", Yes: "yes", No: "no",
	}
}

func korean() words {
	return words{
		Title: "운영 점검표", Item: "항목", Value: "현재 값", Normal: "정상 기준", State: "상태", Since: "시작",
		Trend: "추이", Where: "대상",
		OK: "정상", NoData: "데이터 없음", Pending: "대기", Breached: "위반", Recovering: "회복 중",
		Alerts: "경보", NoAlerts: "대기 중이거나 발생한 경보가 없습니다.", Action: "조치", Runbook: "런북", Severity: "심각도",
		Notices: "알림", NoNotices: "시작한 뒤로 보낸 알림이 없습니다.", Receiver: "수신자", Status: "상태", Delivery: "전달", Time: "시각",
		Firing: "발생", Resolved: "해소", Delivered: "전달됨", Failed: "전달 실패", Waiting: "전달 중",
		SentTo: "경보를 보내는 Alertmanager:", Heartbeat: "생존 신호(dead man's switch): 마지막 전송", NoHeartbeat: "생존 신호(dead man's switch): 아직 보내지 않았습니다.",
		HeartbeatNever: "생존 신호(dead man's switch): 한 번도 전달되지 않음", HeartbeatLast: "생존 신호(dead man's switch): 마지막 전달 %s", HeartbeatTried: "마지막 시도",
		Undelivered: "전달되지 않은 알림이 있습니다. 마지막 전달에 실패한 수신자: %d곳(%s).",
		Unsent:      "경보가 전달되지 않았습니다. Alertmanager로 보낸 마지막 전송이 실패했습니다.",
		SeeNotices:  "알림 보기", AlertsAre: "경보:",
		Targets: "수집 대상", Target: "대상", Health: "상태", LastScrape: "마지막 수집", Up: "정상", Down: "응답 없음", Unknown: "아직 수집 전",
		Series: "시계열 %d개", More: "%d개 더 있음", Pause: "자동 새로 고침 끄기", Resume: "자동 새로 고침 켜기", Forms: "다른 형식", SkipTo: "점검표로 건너뛰기", Limit: "기준", NoHistory: "이력 없음",
		Critical: "심각", Warning: "경고", Info: "정보", Yes: "예", No: "아니요",
	}
}

func (w words) state(s State) string {
	return map[State]string{OK: w.OK, NoData: w.NoData, Pending: w.Pending, Breached: w.Breached}[s]
}

func (w words) severity(s string) string {
	if t := map[string]string{"critical": w.Critical, "warning": w.Warning, "info": w.Info}[s]; t != "" {
		return t
	}
	return s
}

func (w words) status(s string) string {
	if s == "resolved" {
		return w.Resolved
	}
	return w.Firing
}

func (w words) delivery(d Delivery) string {
	text := d.Via + ": " + map[string]string{delivered: w.Delivered, failed: w.Failed, waiting: w.Waiting}[d.Status]
	if d.Detail != "" {
		text += " (" + d.Detail + ")"
	}
	return text
}

func (w words) health(h string) string {
	switch h {
	case "up":
		return w.Up
	case "down":
		return w.Down
	}
	return w.Unknown
}
