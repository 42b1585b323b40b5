package agent

// deviceNumbers splits the number of a device.
func deviceNumbers(dev uint64) (major, minor uint64) {
	return dev>>8&0xfff | dev>>32&^0xfff, dev&0xff | dev>>12&0xffffff00
}
