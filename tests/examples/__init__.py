"""Every folder of example_projects, started as its README says and used as a person would."""
