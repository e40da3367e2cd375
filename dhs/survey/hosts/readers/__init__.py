"""Ways to find and read hosts, one a module; the contract is `dhs.survey.hosts.record.HostReader`."""
