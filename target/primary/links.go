package primary

const (
	// betterFor is how long another member must have been better linked, betterAgain
	// the least time between two attempts to hand over to one.
	betterFor   = 800 * ms
	betterAgain = 2000 * ms
)

func (m *Machine) tickLinks() {
	if p, due := m.mesh.Tick(m.now, m.mint); due {
		m.broadcast(kindPing, p)
	}
}

// findBetter hands over to a member that has been better linked for a while.
func (m *Machine) findBetter() {
	best, found := m.mesh.Better(m.now, func(int) bool { return true })
	if !found || !m.inContact() {
		m.lead.betterSince = m.now
		return
	}
	if m.now-m.lead.betterSince >= betterFor && m.now-m.betterAt >= betterAgain {
		m.betterAt = m.now
		m.orderHandOver(best)
	}
}
