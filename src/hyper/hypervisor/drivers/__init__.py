"""One module or package per hypervisor; `driver.create_driver` finds them by name."""
