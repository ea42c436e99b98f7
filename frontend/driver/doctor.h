/* doctor.h - `bmc doctor`: what this machine has, what it lacks, and the line that installs it.
 *
 * Prints to stdout. EXIT_OK when the CPU target works here, else EXIT_MACHINE. */
#ifndef BM_DOCTOR_H
#define BM_DOCTOR_H

#include "frontend/driver/home.h"

int doctor(Arena *a, const Home *h);

#endif
